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
from types import TracebackType
from typing import BinaryIO, Self

from hopscope.errors import CommandTimeout, ConnectionLost, EnvironmentFault
from hopscope.hosts.process import log_tail
from hopscope.hosts.ssh_stream import Stream

KILL_SECONDS = 3.0


class SshProcess:
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
        self.name = name
        self.host = host
        self.pid = stream.pid
        self.stdout, self.stderr = logs
        self.returncode: int | None = None
        self._stream = stream
        self._files = files
        self._kill = kill
        self._lost: ConnectionLost | None = None
        self._lost_now = lost
        self._release = release
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._pump, name=f"{host}-{name}", daemon=True)
        self._thread.start()

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
            self._kill(sig, self.pid)

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        self.ask(sig)
        return self.finish(timeout)

    def ask(self, sig: int = signals.SIGTERM) -> None:
        if not self._ended.is_set():
            self._kill(sig, -self._stream.group)

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

    def lines(self) -> list[str]:
        return self.stdout.read_text(errors="replace").splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

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


def log_files(directory: Path, name: str) -> tuple[tuple[Path, Path], tuple[BinaryIO, BinaryIO]]:
    """Where a process's output goes: both paths, and both files, empty and unbuffered."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / f"{name}.out", directory / f"{name}.err"
    return paths, (paths[0].open("wb", buffering=0), paths[1].open("wb", buffering=0))
