"""What processes on hosts elsewhere have in common, however they are reached: logs here, an end that is heard of."""

from __future__ import annotations

import signal as signals
import threading
from abc import abstractmethod
from pathlib import Path

from hopscope.errors import CommandTimeout, ConnectionLost
from hopscope.hosts.process import ProcessBase, log_tail


class RemoteProcess(ProcessBase):
    """See ``hosts.process.Process``. One that was lost has no code: asking for it raises ConnectionLost."""

    def __init__(self, name: str, host: str, pid: int, logs: tuple[Path, Path]) -> None:
        self.name = name
        self.host = host
        self.pid = pid
        self.stdout, self.stderr = logs
        self.returncode: int | None = None
        self._lost: ConnectionLost | None = None
        self._ended = threading.Event()

    @abstractmethod
    def _tell(self, sig: int, group: bool) -> None:
        """Send a signal to the process's group, or to the process alone."""

    def poll(self) -> int | None:
        if self._lost is not None:
            raise self._lost
        return self.returncode

    def wait(self, timeout: float) -> int:
        if not self._ended.wait(timeout):
            raise CommandTimeout(
                f"{self.name} did not end within {timeout:g} s",
                host=self.host,
                evidence=log_tail(self.stdout, self.stderr),
            )
        code = self.poll()
        assert code is not None
        return code

    def signal(self, sig: int) -> None:
        if not self._ended.is_set():
            self._tell(sig, False)

    def ask(self, sig: int = signals.SIGTERM) -> None:
        if not self._ended.is_set():
            self._tell(sig, True)
