"""A capture of one port: live before anything counts, drained before it ends, and honest about what it lost.

The kernel hands a partly filled block of a capture's ring over only when the block's timer fires, and neither ``-U``
nor asking hastens it. SIGINT right after the traffic loses that block and still reports no drops. So the end is: ask
for counters (SIGUSR1) until everything received was written or dropped, then SIGINT. Measured on a quiet link (Linux
6.18, libpcap 1.10.3), from the last frame until it is written: tcpdump 0.1 to 1.0 s, evenly spread; our recorder 0.03
to 0.06 s. (``tcpdump --immediate-mode`` takes 0.02 s, and drops frames under load.)
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hopscope.capture.programs import PROGRAMS, Options
from hopscope.errors import CommandTimeout, EnvironmentFault, HarnessFault, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process, log_tail
from hopscope.hosts.program import now_ns, python_program
from hopscope.hosts.ready import LogLine
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Port
from hopscope.wire import pcap

LIVE_SECONDS = 10.0
#: The longest block timer (1 s) and something for a busy machine.
DRAIN_SECONDS = 10.0
END_SECONDS = 10.0
#: It reads about 100,000 frames a second.
THIN_SECONDS = 300.0
_THIN = Path(__file__).with_name("thin.py")

_COUNTS = re.compile(
    r"(\d+) packets? captured[,\n]\s*(\d+) packets? received by filter[,\n]\s*(\d+) packets? dropped by kernel"
)


@dataclass(frozen=True)
class Statistics:
    """What libpcap counts. ``received`` (passed the filter) includes what is ``dropped`` and what waits in the ring."""

    captured: int
    received: int
    dropped: int

    @property
    def drained(self) -> bool:
        return self.captured + self.dropped >= self.received


def statistics(log: str) -> list[Statistics]:
    """Every complete set of counters in what a program wrote to standard error, in order."""
    whole = log[: log.rfind("\n") + 1]
    return [Statistics(int(a), int(b), int(c)) for a, b, c in _COUNTS.findall(whole)]


def _sizes(log: str) -> list[int]:
    """What our recorder says that its file holds when all is written: spares counting the packets of a large one."""
    return [int(size) for size in re.findall(r"(\d+) bytes in the file\n", log)]


@dataclass(frozen=True)
class TapReport:
    """A capture that has ended. ``problem`` says what was wrong with the capturing itself, "" for nothing."""

    port: Port
    file: Path
    captured: int
    received: int
    dropped: int
    live_ns: int
    end_ns: int
    problem: str = ""
    evidence: str = ""
    thinned: bool = False
    """The host has cut out the payload of segments whose checksum it found right; see ``thin``."""

    @property
    def healthy(self) -> bool:
        return not self.problem and self.captured == self.received and self.dropped == 0


class CaptureTap:
    """A capture of one port into one file by one of ``PROGRAMS``. ``start`` and ``stop`` once each."""

    def __init__(
        self,
        executor: Executor,
        port: Port,
        file: Path,
        options: Options | None = None,
        *,
        program: str = "recorder",
        whole_bytes: int | None = None,
    ) -> None:
        """A capture of more than ``whole_bytes`` is thinned by the host before it is fetched, None for never."""
        self.port = port
        self.file = file
        self._executor = executor
        self._options = options or Options()
        self._program = program
        self._whole_bytes = whole_bytes
        self.thinned = False
        self._live_ns = 0
        self._process: Process | None = None
        self._remote = file if executor.here else executor.directory / f"{secrets.token_hex(4)}-{file.name}"

    def signal(self, sig: int) -> None:
        """Send the program a signal."""
        self._started().signal(sig)

    @property
    def ended(self) -> bool:
        """The program has ended, whatever the reason."""
        return self._started().poll() is not None

    def start(self) -> None:
        """Capture from now on: returns when the program listens. EnvironmentFault with its words otherwise."""
        self._process = self._executor.spawn(
            PROGRAMS[self._program](self._executor, self.port, self._remote, self._options),
            name=f"{self.file.stem}-{self._program}",
            ready=LogLine("listening on", stream="stderr"),
            ready_timeout=LIVE_SECONDS,
            directory=self.file.parent,
        )
        self._live_ns = self._now()

    def stop(self) -> TapReport:
        """Drain and end. Never raises for a capture that went wrong: the report says what and keeps the file."""
        process = self._started()
        problem = ""
        end_ns = self._live_ns
        early = process.poll()  # whatever its code: nobody has told it to end
        try:
            end_ns = self._drain()
        except WaitTimeout as late:
            problem = f"not drained: {late.message}"
        died = process.poll()
        if died is None:
            process.signal(signal.SIGINT)
            try:
                died = process.wait(END_SECONDS)
            except CommandTimeout:
                died = process.stop(timeout=0.5)
        if died != 0 or early is not None:
            problem = self._why(process, died)
            end_ns = self._live_ns  # nobody knows when it ended
        return self._report(process, end_ns, self._fetch() or problem)

    def snapshot(self) -> TapReport:
        """What it has taken so far, which is in the file by now; it captures on."""
        process = self._started()
        problem, end_ns = "", self._live_ns
        try:
            end_ns = self._drain()
        except WaitTimeout as late:
            problem = f"not drained: {late.message}"
        if (died := process.poll()) is not None:
            problem = self._why(process, died)
        counts = statistics(_log(process))
        last = counts[-1] if counts else Statistics(0, 0, 0)
        problem = self._fetch(keep=True) or problem
        return TapReport(
            self.port, self.file, last.captured, last.received, last.dropped, self._live_ns, end_ns, problem
        )

    def bring(self, flows: Sequence[str]) -> None:
        """Fetch a thinned capture again, now with every byte of these flows; see ``CaptureSession.bring``."""
        self._fetch_thin(flows)

    def forget(self) -> None:
        """What the host has kept of a thinned capture goes; where it cannot be asked, with its scratch directory."""
        if self.thinned:
            self.thinned = False
            with suppress(EnvironmentFault):
                self._executor.run(["rm", "-f", "--", str(self._remote)], check=False)

    def write_out(self) -> None:
        """Ask our recorder to write what it has taken, without waiting: for those who read along."""
        self.signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it without draining: for a session that could not start."""
        if self._process is not None:
            self._process.stop(timeout=1.0)
            if not self._executor.here:
                self._executor.run(["rm", "-f", str(self._remote)], check=False)

    def statistics(self) -> Statistics | None:
        """Fresh counters, or None when the program has ended. WaitTimeout when it does not answer."""
        process = self._started()
        before = len(statistics(_log(process)))
        process.signal(signal.SIGUSR1)

        def answer() -> Statistics | str:
            found = statistics(_log(process))
            if len(found) > before:
                return found[-1]
            return "ended" if process.poll() is not None else ""

        found = wait_until(answer, timeout=DRAIN_SECONDS, interval=0.002, what=f"statistics of tap {self.port.tap}")
        return found if isinstance(found, Statistics) else None

    def _drain(self) -> int:
        """Wait until the ring is empty, and return until when everything is known to have been taken."""

        def drained() -> int:
            asked_ns = self._now()
            seen = self.statistics()
            return asked_ns if seen is None or seen.drained else 0

        return wait_until(
            drained, timeout=DRAIN_SECONDS, interval=0.02, what=f"tap {self.port.tap} to write what it received"
        )

    def _report(self, process: Process, end_ns: int, problem: str) -> TapReport:
        counts = statistics(_log(process))
        size = self.file.stat().st_size if self.file.exists() else 0
        if not problem and counts and _sizes(_log(process))[-1:] == [size]:
            written, truncated = counts[-1].captured, False
        else:
            written, truncated = _records(self.file)
        last = counts[-1] if counts else Statistics(written, written, 0)
        # It was drained at ``end_ns``: what the ring still held at the end came later, and is not claimed.
        received = last.captured + last.dropped
        if problem:
            # What came after its end is unknown: at least one more, so that no reader takes the capture as whole.
            received = max(received, written + last.dropped + 1)
        elif written != last.captured or truncated:
            free = shutil.disk_usage(self.file.parent).free
            problem = (
                f"{self.file.name} holds {written} of the {last.captured} packets that {self._program} wrote"
                f"{' and ends in the middle of one' if truncated else ''}; {free // 2**20} MiB are free on its disk"
            )
        return TapReport(
            port=self.port,
            file=self.file,
            captured=written,
            received=received,
            dropped=last.dropped,
            live_ns=self._live_ns,
            end_ns=end_ns,
            problem=problem,
            thinned=self.thinned,
            evidence=log_tail(process.stdout, process.stderr) if problem else "",
        )

    def _why(self, process: Process, code: int) -> str:
        if code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
            return f"reached its bound of {self._options.limit_bytes} bytes and ended; what came before is kept"
        words = _log(process).strip().splitlines()[-1:]
        return f"ended by itself with {code}: {''.join(words) or f'{self._program} said nothing'}"

    def _started(self) -> Process:
        if self._process is None:
            raise HarnessFault(f"tap {self.port.tap} was not started")
        return self._process

    def _fetch(self, *, keep: bool = False) -> str:
        """Bring the file here from a host that is not this machine. What went wrong, or nothing."""
        if self._executor.here:
            return ""
        try:
            if not keep and self._is_large():
                self._fetch_thin(())
                self.thinned = True  # the whole one stays there until somebody knows which flows are wanted
                return ""
            self._executor.get(str(self._remote), self.file)
        except EnvironmentFault as error:
            return f"could not be fetched: {error}"
        if not keep:
            self._executor.run(["rm", "-f", str(self._remote)], check=False)
        return ""

    def _is_large(self) -> bool:
        if self._whole_bytes is None:
            return False
        return int(self._executor.run(["stat", "-c", "%s", "--", str(self._remote)]).text) > self._whole_bytes

    def _fetch_thin(self, flows: Sequence[str]) -> None:
        """Have the host cut out payload that is right, but for these flows: an end of the chain is never asked."""
        thin = f"{self._remote}.thin"
        argv = [*python_program(self._executor, _THIN), str(self._remote), thin, *flows]
        try:
            self._executor.run(argv, timeout=THIN_SECONDS)
            self._executor.get(thin, self.file)
        finally:
            self._executor.run(["rm", "-f", "--", thin], check=False)

    def _now(self) -> int:
        """The clock that stamps this capture: the host's."""
        return now_ns(self._executor)


def _log(process: Process) -> str:
    return process.stderr.read_text(errors="replace")


def _records(file: Path) -> tuple[int, bool]:
    """Packets in a capture file, and whether it ends in the middle of one."""
    if not file.exists() or file.stat().st_size == 0:
        return 0, True
    data = np.memmap(file, np.uint8, "r").view(np.ndarray)
    records = pcap.index(file, data)
    return len(records.offset), records.truncated
