"""A process that stays on an instance: a job whose output is brought here as it grows, by one look at a host's jobs.

There is no connection that its end could tell the instance about. Instead a job is ended there, TERM and then KILL to
its group, when nobody has asked about any job for the time to live of its session.
"""

from __future__ import annotations

import base64
import signal as signals
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts.remote_process import RemoteProcess

KILL_SECONDS = 10.0


class SsmProcess(RemoteProcess):
    """See ``hosts.process.Process``. ``send`` sends a signal to the job's group, or to its first process alone. A
    process that was lost has no code: asking for it raises ConnectionLost."""

    def __init__(
        self,
        name: str,
        host: str,
        token: str,
        pid: int,
        logs: tuple[Path, Path],
        files: tuple[BinaryIO, BinaryIO],
        *,
        send: Callable[[int, bool], None],
    ) -> None:
        super().__init__(name, host, pid, logs)
        self.token = token
        self.offsets = (0, 0)
        """How much of both outputs is here."""
        self._files = files
        self._send = send

    def _tell(self, sig: int, group: bool) -> None:
        self._send(sig, group)

    def finish(self, timeout: float) -> int:
        if not self._ended.wait(timeout):
            self._send(signals.SIGKILL, True)
            self._ended.wait(KILL_SECONDS)
        if self._lost is not None:
            return -signals.SIGKILL
        if self.returncode is None:
            raise EnvironmentFault(f"{self.name} does not end, not even by KILL", host=self.host)
        return self.returncode

    def hear(self, told: dict[str, Any]) -> bool:
        """What a look has found. True once it has ended and all that it wrote is here."""
        end = told["end"]
        counts = []
        for stream, file, offset in zip(("out", "err"), self._files, self.offsets, strict=True):
            data = zlib.decompress(base64.b64decode(told[stream]["data"])) if told[stream]["bytes"] else b""
            if end is not None:
                data = data[: max(0, end[stream] - offset)]
            file.write(data)
            counts.append(offset + len(data))
        self.offsets = counts[0], counts[1]
        if end is None and "pid" in told:
            return False
        if end is None or end["why"]:
            self.lose(ConnectionLost(f"{self.name} was ended on the host: nobody asked about it", host=self.host))
        elif self.offsets == (end["out"], end["err"]):
            self._end(end["code"])
        return self._ended.is_set()

    def lose(self, lost: ConnectionLost) -> None:
        self._lost = lost
        self._end(None)

    def _end(self, code: int | None) -> None:
        self.returncode = code
        for file in self._files:
            file.close()
        self._ended.set()
