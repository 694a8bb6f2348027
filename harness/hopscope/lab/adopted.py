"""A process of a lab that someone else started: known by its number and start time, watched and signalled."""

from __future__ import annotations

import os
import signal as signals
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hopscope.errors import CommandTimeout, WaitTimeout
from hopscope.hosts.process import ProcessBase, log_tail
from hopscope.lab.state import ProcessId
from hopscope.lab.wait import wait_until

#: Only its parent learns the code that a process ended with.
UNKNOWN_CODE = -1


@dataclass(frozen=True)
class AdoptedProcess(ProcessBase):
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

    def ask(self, sig: int = signals.SIGTERM) -> None:
        self.signal(sig)

    def finish(self, timeout: float) -> int:
        try:
            return self.wait(timeout)
        except CommandTimeout:
            self.signal(signals.SIGKILL)
            return self.wait(timeout)
