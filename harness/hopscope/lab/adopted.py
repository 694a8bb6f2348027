"""A process of a lab that someone else started: known by its number and start time, watched and signalled."""

from __future__ import annotations

import os
import signal as signals
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hopscope.errors import CommandTimeout, WaitTimeout
from hopscope.hosts.process import log_tail
from hopscope.lab.state import ProcessId
from hopscope.lab.wait import wait_until

#: Only its parent learns the code that a process ended with.
UNKNOWN_CODE = -1


@dataclass(frozen=True)
class AdoptedProcess:
    """See ``hosts.process.Process``; ``returncode`` is None while it runs and -1 after."""

    name: str
    process: ProcessId
    stdout: Path
    stderr: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return None if self.process.alive else UNKNOWN_CODE

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        try:
            wait_until(lambda: not self.process.alive, timeout=timeout, what=f"{self.name} to end")
        except WaitTimeout as late:
            raise CommandTimeout(late.message, evidence=log_tail(self.stdout, self.stderr)) from late
        return UNKNOWN_CODE

    def signal(self, sig: int) -> None:
        with suppress(ProcessLookupError):
            if self.process.alive:
                os.kill(self.pid, sig)

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        self.signal(sig)
        try:
            return self.wait(timeout)
        except CommandTimeout:
            self.signal(signals.SIGKILL)
            return self.wait(timeout)

    def lines(self) -> list[str]:
        return self.stdout.read_text(errors="replace").splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
