"""Runs as a live session leaves them, of golden captures: for replays without anything that ever ran."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hopscope import data
from hopscope.errors import HopscopeError
from hopscope.plugin.recorded import arguments
from hopscope.run import tape
from hopscope.run.rundir import Run
from hopscope.run.tape import Tape
from hopscope.traffic.traffic import Traffic
from support import golden, golden_tunnel

LAB = "chain-1"
RTT_NS = 20_200_000


@dataclass
class TestRecord:
    """One test of the run; calls are noted in the order in which it makes them."""

    __test__ = False

    nodeid: str
    directory: Path
    tape: Tape
    windows: int = 0
    loads: int = 0

    def open(self, sut: str | None, chain: golden.Chain | None = None) -> None:
        """Open a window, whose captures are those of ``chain`` (None: an uncaptured one)."""
        self.windows += chain is not None
        folder = None if chain is None else f"capture-{self.windows}"
        self.tape.note("open", sut=sut, folder=folder)
        if chain is not None:
            golden.write(chain, self.directory / str(folder))

    def tunnel(self, fault: HopscopeError | None = None) -> None:
        """A window of a tunnel opens, if that was alive (``fault``); :meth:`asked` and :meth:`captured` go with it."""
        told = {"sut": "golden", "reconnects": True, "carrier": "tcp port 1194"}
        self.tape.note("tunnel", **told, **({"fault": tape.fault(fault)} if fault else {}))
        if fault is None:
            self.windows += 1
            self.tape.note("open", sut=None, folder=f"capture-{self.windows}")

    def asked(self, method: Callable[..., Any], *steps: tuple[str, Any], **named: Any) -> None:
        """A call of the tunnel and what it rests on: what was measured, with its answer or with its fault."""
        told = [
            {"asked": asked, "fault": tape.fault(answer)}
            if isinstance(answer, HopscopeError)
            else {"asked": asked, "answer": answer}
            for asked, answer in steps
        ]
        self.tape.note(f"tunnel.{method.__name__}", arguments=arguments(method, (), named), steps=told)

    def captured(self, tunnel: golden_tunnel.Tunnel) -> None:
        """What the window of a tunnel holds at its end."""
        tunnel.write(self.directory / f"capture-{self.windows}")

    def close(self, fault: HopscopeError | None = None) -> None:
        folder = f"capture-{self.windows}"
        files = sorted((self.directory / folder).iterdir())
        self.tape.note("end", folder=folder, files={file.name: tape.seal(file) for file in files})
        self.tape.note("close", folder=folder, **({"fault": tape.fault(fault)} if fault else {}))

    def connections(self, *given: Any, achieved: float | None = None, **named: Any) -> None:
        """A call that went well, at the rate asked for unless ``achieved`` is another."""
        asked = arguments(Traffic.connections, given, named)
        self.loads += 1
        file = self.directory / f"connections-{self.loads}.jsonl"
        file.write_text(generated(asked["count"], asked["rate"], achieved or asked["rate"]))
        kept = {"file": file.name, "seal": tape.seal(file), "server": {"accepted": asked["count"]}}
        self.tape.note("connections", arguments=asked, **kept)


@dataclass
class StoredRunBuilder:
    root: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    topology: str = "chain"

    def __post_init__(self) -> None:
        options = {"topology": "chain.yaml", "sut": None, "rtt_ms": None}
        self.run = Run.create(self.root, {"session": None, "options": options, **self.facts})
        topology = data.topology(self.topology).document()
        self.run.append("labs", {"lab": LAB, "topology": topology, "rtt_ns": RTT_NS, "settings": [], "mechanism": {}})

    @property
    def directory(self) -> Path:
        return self.run.directory

    def test(self, nodeid: str) -> TestRecord:
        directory = self.run.test_directory(nodeid)
        return TestRecord(nodeid, directory, Tape(directory))

    def add(self, test: TestRecord, outcome: str = "PASS", *, rtt_ns: int = RTT_NS, **verdicts: str) -> None:
        """The test has ended, with these outcomes of checks."""
        entry = {"test": test.nodeid, "directory": str(test.directory.relative_to(self.directory)), "lab": LAB}
        sealed = {"calls": tape.seal(test.tape.path)} if test.tape.path.exists() else {}
        self.run.append("tests", {**entry, "rtt_ns": rtt_ns, "suts": {}, **sealed})
        reached = [{"check": check, "outcome": word} for check, word in verdicts.items()]
        self.run.note_outcome({"test": test.nodeid, "outcome": outcome, "reason": "as stored", "verdicts": reached})

    def finish(self) -> Path:
        self.run.finish()
        return self.directory


def generated(count: int, rate: float | None, achieved: float | None) -> str:
    """What the generator prints of connections that all complete."""
    lines = []
    for index in range(count):
        start = golden.START_NS + round(index * 1e9 / (achieved or 1000))
        times = {"start_ns": start, "connect_ns": start + 10**6, "first_byte_ns": start + 2 * 10**7}
        facts = {"i": index, "local_port": 40000 + index, "port": 8080, "late_ns": 0, "bytes": 1024, "error": None}
        lines.append({**facts, **times, "end_ns": start + 3 * 10**7, "outcome": "ok"})
    summary = {"asked": count, "requested_rate": rate, "established_rate": achieved, "cc": "reno"}
    return "".join(json.dumps(line) + "\n" for line in [*lines, {"summary": summary}])


def digest(directory: Path) -> dict[str, str]:
    files = (file for file in directory.rglob("*") if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def reached(junit: Path) -> dict[str, tuple[str, str]]:
    """Outcome and message of each test."""
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        told = [each for each in case if each.tag in ("failure", "error", "skipped")]
        found[case.attrib["name"]] = (told[-1].tag, told[-1].attrib["message"]) if told else ("passed", "")
    return found
