"""Faults by name, and a bed to inject them in: two LANs, two ends whose daemons can be told to be faulty, a router."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from hopscope import data
from hopscope.errors import UsageError
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine
from hopscope.hosts.wait import wait_until
from hopscope.lab import credentials
from hopscope.lab.lab import Lab
from hopscope.lastmile.ground import Ground, ground
from hopscope.model.document import load_topology
from hopscope.model.laid import lay
from hopscope.model.sut import Box, Sut
from hopscope.model.tunnel import End, Transport, Tunnel
from hopscope.providers.netns import NetnsProvider

PORT = 7000
INNER = {"left": "10.9.0.1", "right": "10.9.0.2"}
KEYS = {"name", "cause", "repairable", "daemon", "steps", "before", "needs", "tls", "expired"}
LATELY = timedelta(minutes=1)
ROLES = {"right": ("left", "listen"), "left": ("right", "connect")}
STEPS = {"host", "run", "nft", "sysctl", "signal", "spawn", "ready"}
_XDP = Path(__file__).with_name("xdpdrop.py")
_DAEMON = Path(__file__).with_name("faultydaemon.py")


@dataclass(frozen=True)
class Fault:
    """``causes`` are those that may be named first; ``before`` are steps that come before the daemons; ``expired``
    says that the certificates of ``tls`` have ended."""

    name: str
    causes: tuple[str, ...]
    repairable: bool = True
    daemon: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    steps: tuple[Mapping[str, Any], ...] = ()
    before: tuple[Mapping[str, Any], ...] = ()
    needs: tuple[str, ...] = ()
    tls: bool = False
    expired: bool = False

    def __add__(self, other: Fault) -> Fault:
        """Both at once."""
        daemon = {h: (*self.daemon.get(h, ()), *other.daemon.get(h, ())) for h in {*self.daemon, *other.daemon}}
        return Fault(
            f"{self.name} + {other.name}", self.causes + other.causes, self.repairable and other.repairable, daemon,
            self.steps + other.steps, self.before + other.before, self.needs + other.needs, self.tls or other.tls,
            self.expired or other.expired,
        )  # fmt: skip


def load(folder: Path | None = None, files: str = "*.yaml") -> dict[str, Fault]:
    """All faults of these YAML files in ``folder`` (the built-in ones). UsageError names file and fault."""
    found: dict[str, Fault] = {}
    for file in sorted((folder or data.path("faults")).glob(files)):
        for entry in yaml.safe_load(file.read_text()) or ():
            name = entry.get("name")
            unknown = set(entry) - KEYS | {key for step in entry.get("steps", ()) for key in set(step) - STEPS}
            if not name or unknown or name in found:
                raise UsageError(
                    f"{file.name}: fault {name!r}: {'unknown ' + str(sorted(unknown)) if unknown else 'name'}"
                )
            cause = entry.get("cause", ())
            found[name] = Fault(
                name,
                (cause,) if isinstance(cause, str) else tuple(cause),
                entry.get("repairable", True),
                {host: tuple(map(str, words)) for host, words in entry.get("daemon", {}).items()},
                tuple(entry.get("steps", ())), tuple(entry.get("before", ())), tuple(entry.get("needs", ())),
                entry.get("tls", False), entry.get("expired", False),
            )  # fmt: skip
    return found


class Bed:
    """A lab with a tunnel in it and, from ``inject`` on, a fault."""

    def __init__(self, lab: Lab, sut: Sut) -> None:
        self.lab = lab
        self.ground: Ground = ground(lab.topology, lay(lab.topology, sut))
        self.daemons: dict[str, Process] = {}
        self.others: list[Process] = []

    def restart(self, host: str, fault: Fault) -> None:
        """The daemon ends and is started again: its device is another one, without routes or settings."""
        self.daemons[host].stop(1.0)
        lines = self.daemons[self.ground.other(host).host].lines
        seen = lines().count("connected")
        self.daemons[host] = self._daemon(host, *ROLES[host], fault)
        wait_until(lambda: lines().count("connected") > seen, timeout=8, interval=0.02, what="the ends to be connected")

    def start(self, fault: Fault) -> None:
        if fault.tls:
            valid = -LATELY if fault.expired else credentials.VALID
            credentials.install("tls", self.lab.hosts["right"], self.lab.hosts["left"], valid=valid)
        self._do(fault.before)
        for host, (other, role) in ROLES.items():
            self.daemons[host] = self._daemon(host, other, role, fault)
            side, far = self.ground.side(host), self.ground.other(host)
            assert side is not None
            if far.lan:
                self.lab.hosts[host].run(["ip", "route", "replace", far.lan.network, "dev", side.device])
        lines = self.daemons["left"].lines
        if not fault.expired and not any(step.get("run") or step.get("nft") for step in fault.before):
            wait_until(lambda: "connected" in lines(), timeout=5, interval=0.01, what="the daemons to be connected")
        self._do(fault.steps)

    def _daemon(self, host: str, other: str, role: str, fault: Fault) -> Process:
        executor = self.lab.hosts[host]
        executor.put(_DAEMON, "faultydaemon.py")
        side = self.ground.side("right")
        assert side is not None
        argv = [sys.executable, "-I", "-S", str(executor.directory / "faultydaemon.py"), role, side.outer, str(PORT)]
        argv += [INNER[host], INNER[other], *(["--tls", str(executor.directory / "tls")] if fault.tls else [])]
        return executor.spawn([*argv, *fault.daemon.get(host, ())], name="daemon", ready=LogLine("listening", "stdout"))

    def _do(self, steps: tuple[Mapping[str, Any], ...]) -> None:
        for step in steps:
            executor = self.lab.hosts[step["host"]]
            if "nft" in step:
                executor.run(["nft", "-f", "-"], stdin=step["nft"].replace("}", "\n}\n").encode())
            if "run" in step:
                executor.run([self._word(executor, word) for word in step["run"]])
            for key, value in step.get("sysctl", {}).items():
                path = "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))
                executor.run(["tee", path], stdin=f"{value}\n".encode())
                if executor.run(["cat", path]).text.split() != str(value).split():
                    raise UsageError(f"{key} did not become {value} on {executor.name}")
            if "signal" in step:
                daemon = self.daemons[step["host"]]
                daemon.signal(signal.Signals[f"SIG{step['signal']}"])
                if step["signal"] != "STOP":
                    daemon.wait(3)
            if "spawn" in step:
                ready = LogLine(step["ready"], "stdout") if "ready" in step else None
                words = [self._word(executor, word) for word in step["spawn"]]
                self.others.append(executor.spawn(words, name=f"other{len(self.others)}", ready=ready))

    @staticmethod
    def _word(executor: Executor, word: object) -> str:
        places = {"python": sys.executable, "xdp": _XDP, "host_dir": executor.directory}
        text = str(word)
        for name, place in places.items():
            text = text.replace(f"{{{name}}}", str(place))
        return text


def sut() -> Sut:
    """What the bed's tunnel looks like to those who find it there."""
    return Sut(
        name="bed",
        boxes={"right": Box(argv=("true",)), "left": Box(argv=("true",))},
        tunnel=Tunnel(
            ends={host: End(addresses=(address,)) for host, address in INNER.items()},
            transport=Transport(server="right", port=PORT),
        ),
    )


@contextmanager
def bed(fault: Fault, *, directory: Path | None = None) -> Iterator[Bed]:
    """A lab with the tunnel and this fault, until the block ends."""
    topology = load_topology(data.path("topologies/tunnel-bed.yaml"))
    provider = NetnsProvider()
    lab = provider.acquire(topology) if directory is None else provider.acquire(topology, directory=directory)
    with lab:
        made = Bed(lab, sut())
        try:
            made.start(fault)
            yield made
        finally:
            for process in (*made.others, *made.daemons.values()):
                process.stop(1.0)
