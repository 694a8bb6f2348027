"""A process that stays on a host reached by SSH: one session, whose streams a thread writes to the process's logs.

Its standard input is its life-line (see ``ssh_shell``): when the connection ends, for whatever reason, the group gets
TERM, and KILL two seconds later. The end of this program, ``kill -9`` included, ends the connection.
"""

from __future__ import annotations

import signal as signals
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts.remote_process import RemoteProcess
from hopscope.hosts.ssh_stream import Stream

KILL_SECONDS = 3.0


class SshProcess(RemoteProcess):
    """See ``hosts.process.Process``. ``kill`` sends a signal to a process of the host, or with a negative number to a
    group. A process whose connection was lost has no code: asking for it raises ConnectionLost."""

    def __init__(
        self,
        name: str,
        host: str,
        stream: Stream,
        logs: tuple[Path, Path],
        files: tuple[BinaryIO, BinaryIO],
        *,
        kill: Callable[[int, int], None],
        lost: Callable[[], ConnectionLost],
        release: Callable[[], None],
    ) -> None:
        super().__init__(name, host, stream.pid, logs)
        self._stream = stream
        self._files = files
        self._kill = kill
        self._lost_now = lost
        self._release = release
        self._thread = threading.Thread(target=self._pump, name=f"{host}-{name}", daemon=True)
        self._thread.start()

    def _tell(self, sig: int, group: bool) -> None:
        self._kill(sig, -self._stream.group if group else self.pid)

    def finish(self, timeout: float) -> int:
        """A lost process is ended by its life-line; what is left of its group is killed here, over a new connection."""
        if not self._ended.wait(timeout) or self._lost is not None:
            self._kill(signals.SIGKILL, -self._stream.group)
            self._ended.wait(KILL_SECONDS)
        if self._lost is not None:
            return -signals.SIGKILL
        if self.returncode is None:
            raise EnvironmentFault(f"{self.name} does not end, not even by KILL", host=self.host)
        return self.returncode

    def _pump(self) -> None:
        try:
            self.returncode = self._stream.complete(None, None)
            with suppress(EnvironmentFault):
                self._kill(signals.SIGKILL, -self._stream.group)  # members of its group that outlived it
        except ConnectionLost:
            self._lost = self._lost_now()
        finally:
            self._release()
            for file in self._files:
                file.close()
            self._ended.set()
