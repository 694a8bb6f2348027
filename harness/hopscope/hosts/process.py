"""A process that stays on a host: how it is watched, signalled and ended."""

from __future__ import annotations

import signal as signals
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

TAIL_LINES = 25


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

    def lines(self) -> list[str]:
        """What it has written to standard output so far, line by line."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def log_tail(stdout: Path, stderr: Path, lines: int = TAIL_LINES) -> str:
    """The ends of both logs, as evidence for an error."""
    parts = []
    for path in (stdout, stderr):
        text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
        if text:
            parts.append(f"{path.name}:\n" + "\n".join(text))
    return "\n".join(parts) or "it wrote nothing"
