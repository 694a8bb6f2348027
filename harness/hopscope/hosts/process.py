"""A process that stays on a host: how it is watched, signalled and ended."""

from __future__ import annotations

import signal as signals
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from hopscope.errors import EnvironmentFault, WaitTimeout
from hopscope.hosts.wait import wait_until

if TYPE_CHECKING:
    from hopscope.hosts.executor import Executor
    from hopscope.hosts.ready import Ready

TAIL_LINES = 25
CLOSE_SECONDS = 3.0


class Process(Protocol):
    """A spawned process; leaving its ``with`` block stops it.

    ``stdout`` and ``stderr`` are the files that its output goes to. ``returncode`` is None while it runs, then its
    exit code, or the negated number of the signal that ended it.
    """

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    @property
    def stdout(self) -> Path: ...

    @property
    def stderr(self) -> Path: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None:
        """The return code when it has ended, else None."""
        ...

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its code. Raises CommandTimeout after ``timeout`` seconds; it runs on."""
        ...

    def signal(self, sig: int) -> None:
        """Send a signal to the process itself; nothing happens when it has ended."""
        ...

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        """End it: ``sig`` to its process group, KILL after ``timeout`` seconds. Returns its code; again is harmless."""
        ...

    def ask(self, sig: int = signals.SIGTERM) -> None:
        """The first half of ``stop``: ask the group to end, so that several can end at the same time."""
        ...

    def finish(self, timeout: float) -> int:
        """The second half: wait for the end, and kill the group when it does not come."""
        ...

    def lines(self) -> list[str]:
        """What it has written to standard output so far, line by line."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ProcessBase(ABC):
    """What the processes of all hosts do alike."""

    stdout: Path

    @abstractmethod
    def ask(self, sig: int = signals.SIGTERM) -> None: ...

    @abstractmethod
    def finish(self, timeout: float) -> int: ...

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        self.ask(sig)
        return self.finish(timeout)

    def lines(self) -> list[str]:
        return self.stdout.read_text(errors="replace").splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def end_all(processes: Sequence[Process], timeout: float) -> list[BaseException]:
    """Stop every process, all at once, the last one first. Returns what went wrong."""
    errors: list[BaseException] = []
    deadline = time.monotonic() + timeout
    for half in ("ask", "finish"):
        for process in reversed(processes):
            try:
                process.ask() if half == "ask" else process.finish(max(0.0, deadline - time.monotonic()))
            except (OSError, EnvironmentFault) as error:
                errors.append(error)
    return errors


def await_ready(process: Process, ready: Ready | None, executor: Executor, timeout: float) -> None:
    """Wait until a process is ready; without a condition, it is once started. EnvironmentFault with its log where it
    ends before, or is not ready in time. It is for the caller to stop it then."""

    def up() -> bool:
        return process.poll() is not None or ready is None or ready.holds(process, executor)

    try:
        wait_until(up, timeout=timeout, what=f"{process.name} to be ready: {ready.what if ready else 'started'}")
    except WaitTimeout as late:
        raise EnvironmentFault(
            late.message, host=executor.name, evidence=log_tail(process.stdout, process.stderr)
        ) from late
    if ready is not None and process.poll() is not None and not ready.holds(process, executor):
        raise EnvironmentFault(
            f"{process.name} ended with {process.returncode} before it was ready: {ready.what}",
            host=executor.name,
            evidence=log_tail(process.stdout, process.stderr),
        )


def log_files(directory: Path, name: str) -> tuple[tuple[Path, Path], tuple[BinaryIO, BinaryIO]]:
    """Where a process's output goes: both paths, and both files, empty and unbuffered."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / f"{name}.out", directory / f"{name}.err"
    return paths, (paths[0].open("wb", buffering=0), paths[1].open("wb", buffering=0))


def log_tail(stdout: Path, stderr: Path, lines: int = TAIL_LINES) -> str:
    """The ends of both logs, as evidence for an error."""
    parts = []
    for path in (stdout, stderr):
        text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
        if text:
            parts.append(f"{path.name}:\n" + "\n".join(text))
    return "\n".join(parts) or "it wrote nothing"
