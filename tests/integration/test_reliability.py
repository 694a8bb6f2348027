"""What becomes of a session that is hit by a fault, at each phase: nothing leaks, captures can be read, and its
exit code and words tell the truth.

Each cell is a session of its own with a lab of its own. The few by day are those that have most to lose; all of them
make the table in docs/reliability.md (``make reliability``).
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hopscope.hosts.wait import wait_until
from hopscope.lab import staying
from hopscope.run import phase, rundir
from hopscope.run.phase import Phase
from hopscope.wire import pcap
from support import childsession, kept, machine
from support.childsession import Child

pytestmark = pytest.mark.integration

ALL = tuple(Phase)
TABLE = os.environ.get("HOPSCOPE_RELIABILITY")
"""File that gets a line of JSON for each cell."""


@dataclass(frozen=True)
class Fault:
    """``halted``: it is there before the phase goes on. ``ends`` are the exit codes that tell the truth; where the
    session does not pass, one of ``words`` has to be said, and every test that did not pass is laid to one of
    ``blames``."""

    name: str
    inject: Callable[[Child], None]
    ends: frozenset[int]
    words: tuple[str, ...] = ("",)
    blames: frozenset[str] = frozenset()
    halted: bool = False
    phases: tuple[Phase, ...] = ALL
    more: tuple[str, ...] = ()


def _kill(child: Child) -> None:
    os.kill(child.process.pid, signal.SIGKILL)


def _term(child: Child) -> None:
    os.kill(child.process.pid, signal.SIGTERM)


def _interrupt(child: Child) -> None:
    """As a terminal does: all of the foreground's process group."""
    os.killpg(child.process.pid, signal.SIGINT)


def _interrupt_twice(child: Child) -> None:
    _interrupt(child)
    wait_until(lambda: child.process.poll() is not None or child.phase is Phase.TEARING_DOWN or _asleep(child),
               timeout=20, interval=0.01, what="the first to be heard")  # fmt: skip
    with suppress(ProcessLookupError):
        _interrupt(child)


def _asleep(child: Child) -> bool:
    """It has taken the signal: nothing is pending any more."""
    with suppress(OSError):
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        return all(
            line.split()[1].strip("0") == "" for line in status.splitlines() if line.startswith(("ShdPnd", "SigPnd"))
        )
    return True


def _crash_worker(child: Child) -> None:
    for worker in child.workers():
        os.kill(worker, signal.SIGKILL)


def _no_memory(child: Child) -> None:
    size = int(Path(f"/proc/{child.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(child.process.pid, resource.RLIMIT_AS, (size + 2**16, size + 2**16))


def _no_room(child: Child) -> None:
    childsession.fill(child.work, int(child.work.parts[2]))


def _lose_hosts(child: Child) -> None:
    for keeper in child.keepers():
        os.kill(keeper, signal.SIGKILL)


def _end(word: bytes) -> Callable[[Child], None]:
    def end(child: Child) -> None:
        for pid in child.named(word):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return end


NOT_THE_PRODUCT = frozenset({"environment", "harness"})
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill -9", _kill, frozenset({-9})),
        Fault("TERM", _term, frozenset({2}), ("ended by SIGTERM while",)),
        Fault("Ctrl-C", _interrupt, frozenset({2}), ("ended by Ctrl-C while",)),
        Fault("Ctrl-C twice", _interrupt_twice, frozenset({2, -2}), ("KeyboardInterrupt", "ended by Ctrl-C while")),
        Fault("worker crash", _crash_worker, frozenset({1}), ("crashed",), more=("-n", "1")),
        Fault("out of memory", _no_memory, frozenset({0, 1, 2, 3}), ("MemoryError", "memory", "thread"),
              NOT_THE_PRODUCT | {"test"}, halted=True),
        Fault("full disk", _no_room, frozenset({0, 1}), ("No space left", "no room", "are free on its disk"),
              NOT_THE_PRODUCT, halted=True),
        Fault("lost hosts", _lose_hosts, frozenset({0, 1}), blames=NOT_THE_PRODUCT, halted=True),
        Fault("taps killed", _end(b"recorder"), frozenset({1}), ("ended by itself",), frozenset({"harness"}),
              halted=True, phases=(Phase.LOADING, Phase.DRAINING)),
        Fault("box killed", _end(b"hopscope_nic"), frozenset({1}), ("ended by itself",), frozenset({"product"}),
              halted=True, phases=(Phase.LOADING, Phase.DRAINING)),
    )
}  # fmt: skip
CELLS = [(fault.name, each) for fault in FAULTS.values() for each in fault.phases]
BY_DAY = {
    ("kill -9", Phase.CAPTURING),
    ("TERM", Phase.LOADING),
    ("worker crash", Phase.LOADING),
    ("full disk", Phase.LOADING),
}


def _parameters() -> Iterator[object]:
    for name, each in CELLS:
        marks = () if (name, each) in BY_DAY else pytest.mark.nightly
        yield pytest.param(name, each, id=f"{name}-{each}".replace(" ", "_"), marks=marks)


def test_there_are_enough_cells() -> None:
    assert len(CELLS) >= 50
    assert {each for _, each in CELLS} == set(Phase)
    assert set(CELLS) >= BY_DAY


@pytest.mark.parametrize(("name", "at"), list(_parameters()))
def test_a_session_that_is_hit_tells_the_truth_and_leaves_nothing(tmp_path: Path, name: str, at: Phase) -> None:
    fault = FAULTS[name]
    before = machine.links(), machine.named_namespaces()
    with _placed(tmp_path, fault) as given, childsession.session(
        tmp_path, halt_at=at if fault.halted else None, more=fault.more, **given
    ) as child:  # fmt: skip
        child.reaches(at, halted=fault.halted)
        if fault.inject is _lose_hosts and at is Phase.BUILDING:
            child.goes_on()
            wait_until(child.keepers, timeout=60, interval=0.005, what="a keeper")
        fault.inject(child)
        child.goes_on()
        code, said = child.ends()
        cell = Cell(fault, at, code, said, child)
        told = cell.outcome()
        cell.check_truth(told)
        cell.check_captures()
        cell.check_nothing_is_left()
    assert (machine.links(), machine.named_namespaces()) == before
    if TABLE:
        with Path(TABLE).open("a") as file:
            file.write(json.dumps({"fault": name, "phase": str(at), "told": told}) + "\n")


@contextmanager
def _placed(home: Path, fault: Fault) -> Iterator[dict[str, object]]:
    (home / "work").mkdir()
    with ExitStack() as stack:
        if fault.inject is not _no_room:
            yield {}
            return
        work, prefix, _ = stack.enter_context(childsession.small_disk(home))
        yield {"work": work, "prefix": prefix}


@dataclass
class Cell:
    fault: Fault
    at: Phase
    code: int
    said: str
    child: Child
    outcomes: list[dict[str, str]] = field(default_factory=list)

    def outcome(self) -> str:
        """What the session came to, in a word or two, from its exit code and what its run has kept."""
        for run in sorted(self.child.work.glob("runs/2*")):
            self.outcomes += rundir.outcomes(run)
        if self.code < 0:
            return "killed"
        if self.code == 2:
            return "interrupted, said so"
        if self.code == 0:
            return "passed before it mattered"
        if "crashed" in self.said:
            return "worker crash, said so"
        kinds = {str(each["kind"]) for each in self.outcomes if each["outcome"] != "PASS"}
        return ", ".join(sorted(kinds)) or "failed"

    def check_truth(self, told: str) -> None:
        assert self.code in self.fault.ends, (self.code, self.said)
        assert "INTERNALERROR" not in self.said, self.said
        if self.code == 0:
            assert "1 passed" in self.said, self.said
            assert [each["outcome"] for each in self.outcomes] in (["PASS"], []), self.outcomes
            verdicts = [json.loads(file.read_text()) for file in self.child.work.rglob("verdicts.json")]
            assert verdicts, "it passed and judged nothing"
            assert {each["outcome"] for file in verdicts for each in file} <= {"PASS", "NOT_APPLICABLE"}
        else:
            assert any(word in self.said for word in self.fault.words), self.said
            blamed = {str(each["kind"]) for each in self.outcomes if each["outcome"] != "PASS"}
            assert not self.fault.blames or blamed <= self.fault.blames, (blamed, self.said)
        run = self.child.run
        if self.code == -9:
            assert run is not None
            assert "ended_ns" not in (rundir.read_manifest(run) or {}), "a killed run says that it ended"
            assert not rundir.alive(run)
            assert ALL.index(phase.last(run) or ALL[0]) >= ALL.index(self.at), "it says that it was killed before that"

    def check_captures(self) -> None:
        """Whatever was captured is there and can be read, up to where it was cut off."""
        files = list(self.child.work.rglob("capture-*/*.pcap"))
        later = ALL[ALL.index(Phase.LOADING) :]
        if self.at in later and self.fault.name not in ("worker crash",):
            assert len(files) == 6, files
        for file in files:
            if file.stat().st_size:
                pcap.read(file)

    def check_nothing_is_left(self) -> None:
        child = self.child
        wait_until(lambda: not kept.users(child.namespaces), timeout=3, what="namespaces of the lab to go")
        wait_until(lambda: not machine.alive(child.seen), timeout=3, what="processes of the session to go")
        staying.reap(child.work / ".hopscope" / "labs")
        labs = child.work / ".hopscope" / "labs"
        if self.code != -9:
            assert not labs.is_dir() or not any(labs.iterdir()), list(labs.iterdir())
        files = [each for each in child.temporary.rglob("*") if each.is_file()]
        assert not files, files
