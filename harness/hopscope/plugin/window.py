"""A test's window: captures live on every tap before its SUT starts, until its last packet has been drained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hopscope.capture.session import CaptureSession
from hopscope.errors import EnvironmentFault, HarnessFault, ProductFault, UsageError, WaitTimeout
from hopscope.hosts.program import now_ns
from hopscope.lab import drift
from hopscope.lab.lab import Lab
from hopscope.lab.quiet import wait_quiet
from hopscope.lab.sut import RunningSut
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Port
from hopscope.plugin.chains import Chain
from hopscope.run import story, tape
from hopscope.run.doing import stages
from hopscope.run.phase import Phase
from hopscope.run.rundir import VERDICTS
from hopscope.run.tape import Tape
from hopscope.wire.trace import Trace

#: Flow tables have to be empty this long after the last segment; the teardown check is what judges it.
TABLES_EMPTY_S = 5.0

#: What a delay line counts of packets that it lost although nobody asked it to.
UNASKED = ("missed", "dropped", "refused")


class Window:
    """Captures and SUT of one test.

    Use :meth:`open` and :meth:`close`; while open, :meth:`start_sut` and :meth:`stop_sut` switch what sits on the path.
    Captures go to ``directory/capture-N`` with N counting the windows of the test.
    """

    def __init__(self, chain: Chain, directory: Path, *, captured: bool = True, folders: Iterable[Path] = ()) -> None:
        self.chain = chain
        self.directory = directory
        self._captured = captured
        self._folders = tuple(folders)
        self._session: CaptureSession | None = None
        self._stopped: CaptureSession | None = None
        self._sut: RunningSut | None = None
        self._events: list[dict[str, object]] = []
        self._identity: dict[str, dict[str, object]] = {}
        self._count = 0
        self._spoilt = 0
        self._died: dict[str, int] = {}
        self._left: list[str] = []
        self.capture_directory: Path | None = None
        self.said: dict[str, Any] = {}
        """What the side-car of the captures says besides, by key."""
        self.before_end: list[Callable[[], None]] = []
        """Asked before the window is judged; whoever is not satisfied raises."""
        self.tape = Tape(directory)

    @property
    def is_open(self) -> bool:
        return self._session is not None

    def open(self, sut: str | None) -> None:
        """Start the captures, then the SUT named, if any. EnvironmentFault when the lab is not as it was proven."""
        with self.tape.call("open", sut=sut, folder=f"capture-{self._count + 1}" if self._captured else None):
            self._open(sut)

    def _open(self, sut: str | None) -> None:
        drift.check(self.chain.lab)
        if self._captured:
            self._count += 1
            self.capture_directory = self.directory / f"capture-{self._count}"
            self._forget()
            session = CaptureSession(self.chain.lab, self.capture_directory)
            self.chain.run.enter(Phase.CAPTURING)
            with story.step(self.directory, f"Captures live on {len(session.ports)} taps"):
                session.start()
            self._session = session
            self._spoilt = sum(spoilt(self.chain.lab).values())
        self._events = []
        if sut is not None:
            self._start_sut(sut)

    def start_sut(self, name: str) -> RunningSut:
        """Put a SUT on the path; the one before it must have been stopped."""
        with self.tape.call("start_sut", sut=name):
            return self._start_sut(name)

    def _start_sut(self, name: str) -> RunningSut:
        if self._sut is not None:
            raise HarnessFault(f"SUT {self._sut.sut.name} is still on the path")
        self.chain.run.enter(Phase.STARTING)
        with story.step(self.directory, f"SUT {name} started", sut=name) as step:
            self._sut = self.chain.running(name, self.directory, self._folders)
            step.facts["placement"] = str(self._sut.sut.placement)
            self._sut.__enter__()
            step.title += f" on {', '.join(self._sut.identity)}" if self._sut.identity else " (no box on the path)"
        self._events.append(self._moment("sut_started", self._sut))
        self._identity |= {f"{name}@{host}": fact for host, fact in self._sut.identity.items()}
        return self._sut

    def stop_sut(self) -> None:
        """Take the SUT off the path and keep what it said. A box that died before is told by ``died``."""
        if self._sut is None:
            return
        sut, self._sut = self._sut, None
        self._events.append(self._moment("sut_stopped", sut))
        died = sut.died()
        self._died |= {f"{name} ({sut.sut.name})": code for name, code in died.items()}
        sut.stop()
        self._left += [f"SUT {sut.sut.name} left behind on {each}" for each in sut.left]
        for host, events in sut.events().items():
            self._events += [{"host": host, **event} for event in events]
        self._events += [{"host": host, "event": "died", "returncode": code} for host, code in died.items()]

    def _moment(self, event: str, sut: RunningSut) -> dict[str, object]:
        """When a SUT came or left, on the client's clock: flows that began in between were its to carry."""
        placement = str(sut.sut.placement)
        at = now_ns(self.chain.host("client"))
        told = {"event": event, "sut": sut.sut.name, "placement": placement, "time_ns": at}
        return told | ({"promises": list(sut.sut.promises)} if sut.sut.promises else {})

    def moment(self) -> int:
        """Now, in ns on the clock of the captures; a replay is given the same."""
        now = now_ns(self.chain.host("client"))
        self.tape.note("moment", time_ns=now)
        return now

    def settle(self) -> None:
        """Wait until nothing moves and, where the SUT tells, its flow tables are empty (or have had their time)."""
        wait_quiet(self.chain.lab, self.chain.ends(), rtt_s=self.chain.rtt_ns / 1e9)

    def wait_tables(self, *, lingering: bool = False) -> None:
        """Give the flow tables their time to empty. That they did not is for the teardown check to say.

        Flows that are over and remembered for a moment longer (``lingering``) are waited for when asked: that takes
        seconds, and one test of a box is enough to see it forget them.
        """
        sut = self._sut
        if sut is None or sut.died():
            return
        try:
            wait_until(
                lambda: not sut.open_flows(lingering=lingering),
                timeout=TABLES_EMPTY_S,
                interval=0.1,
                what="empty flow tables",
            )
        except WaitTimeout:
            return

    def tap(self, *ports: Port) -> None:
        """Capture on more ports until the window ends, such as devices that came up with a tunnel."""
        for port in ports:
            self._open_session().add(port)

    def untap(self, *ports: Port) -> None:
        """End the captures of ports that are about to go; what they hold stays in the window."""
        for port in ports:
            self._open_session().end(port)

    def look(self) -> Path:
        """The folder of captures as they are now, complete up to this moment; the window stays open."""
        self._open_session().snapshot(extra=self._extra())
        assert self.capture_directory is not None
        return self.capture_directory

    def _open_session(self) -> CaptureSession:
        if self._session is None:
            raise UsageError("there are no captures to look at: lab_uncaptured, or the window is closed")
        return self._session

    def _extra(self) -> dict[str, Any]:
        return {"rtt_ns": self.chain.rtt_ns, "sut": self._events, **self.said}

    def close(self) -> Trace | None:
        """Settle, drain, stop; returns the window's Trace, or None when it was not captured."""
        directory = self.end()
        if directory is None:
            return None
        with stages("Loading the captures") as progress:
            return Trace.load(directory, progress)

    def end(self) -> Path | None:
        """Settle, drain, stop; returns the folder of the captures, or None when there are none."""
        with self.tape.call("close", folder=self.capture_directory.name if self.capture_directory else None):
            for ask in self.before_end:
                ask()
            directory = self._close()
        if directory is not None:
            self.chain.run.enter(Phase.JUDGING)
        return directory

    def _close(self) -> Path | None:
        if self._session is None:
            self.stop_sut()
            self._refuse_leftovers()
            return None
        self.chain.run.enter(Phase.DRAINING)
        with story.step(self.directory, "Network quiet, SUT stopped, captures drained"):
            try:
                self.settle()
                self.wait_tables()
                lost = spoilt(self.chain.lab)
            finally:
                trace_directory = self._end()
        self._refuse_leftovers()
        drift.check(self.chain.lab)
        if sum(lost.values()) > self._spoilt:
            raise EnvironmentFault(
                "an impaired link lost packets that it was not asked to lose",
                evidence="\n".join(f"{link}: {count} since the lab is up" for link, count in lost.items() if count),
            )
        if self._died:
            told = ", ".join(f"{box} with {code}" for box, code in self._died.items())
            raise ProductFault(f"a box ended by itself: {told}; its log is in {self.directory}")
        return trace_directory

    def abandon(self) -> None:
        """End everything without judging; captures so far stay in the run directory."""
        if self._session is not None:
            self._end()
        else:
            self.stop_sut()
        self._forget()
        if sys.exception() is None:  # what failed first is what people need to see
            self._refuse_leftovers()

    def _refuse_leftovers(self) -> None:
        left, self._left = self._left, []
        if left:
            raise EnvironmentFault("; ".join(left))

    def _end(self) -> Path:
        session, self._session = self._session, None
        directory = self.capture_directory
        if session is None or directory is None:
            raise HarnessFault("no capture window is open")
        try:
            self.stop_sut()
        finally:
            self._stopped = session
            try:
                session.stop(extra=self._extra())
            finally:
                self.tape.note("end", folder=directory.name, files=_sealed(directory))
        return directory

    def bring(self, flows: Sequence[str]) -> None:
        """Have flows that failed whole in the captures of the window that ended last, where a host has thinned them.

        One that does not give them changes nothing of what was judged: the step is told as failed, and that is all.
        """
        session, directory = self._stopped, self.capture_directory
        if session is None or directory is None or not session.thinned:
            return
        step = story.step(self.directory, f"Fetched {len(flows)} failing flow(s) whole from where they were captured")
        with suppress(EnvironmentFault), step:
            try:
                session.bring(flows)
            finally:
                self.tape.note("end", folder=directory.name, files=_sealed(directory))

    def _forget(self) -> None:
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped.forget()

    def evidence(self) -> dict[str, object]:
        """What ran in the windows of this test, for the manifest."""
        told = {"suts": self._identity, "captures": str(self.capture_directory) if self.capture_directory else None}
        sealed = {"calls": tape.seal(self.tape.path)} if self.tape.path.is_file() else {}
        return {**told, "rtt_ns": self.chain.rtt_ns, **sealed}


def _sealed(directory: Path) -> dict[str, tape.Seal]:
    """The captures of a folder and what is told of them. Verdicts are none of it: more of them may follow."""
    told = (file for file in sorted(directory.iterdir()) if file.suffix in (".pcap", ".json") and file.name != VERDICTS)
    return {file.name: tape.seal(file) for file in told}


def spoilt(lab: Lab) -> dict[str, int]:
    """Packets that each delay line has lost without being asked to: a full queue of the kernel's or its own."""
    return {
        link: sum(count[cause] for count in lab.link_counters(link).values() for cause in UNASKED) for link in lab.lines
    }
