"""A process inside a namespace host: ``nsenter`` outside, the process itself as its only child inside."""

from __future__ import annotations

import os
import select
import signal as signals
import subprocess
from contextlib import suppress
from pathlib import Path

from hopscope.errors import CommandTimeout
from hopscope.hosts.process import ProcessBase, log_tail
from hopscope.hosts.wait import wait_until

ENTER_SECONDS = 10.0


def entered(nsenter: int) -> int | None:
    """The process that ``nsenter`` forked into the namespaces (proc_pid_children: its only child), or None."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{nsenter}/task/{nsenter}/children").read_text().split()[0])
    return None


def kill_entered(nsenter: int) -> None:
    """KILL to the process group inside, then to ``nsenter``: the way out for a command past its deadline."""
    inside = entered(nsenter)
    if inside is not None:
        signal_group(inside, signals.SIGKILL)
    signal_group(nsenter, signals.SIGKILL)


def signal_group(leader: int, sig: int) -> None:
    """Signal a process group, or its leader alone where it has not become one yet."""
    if leader <= 1:  # 0 is our own group, 1 and below would reach everyone's
        return
    try:
        os.killpg(leader, sig)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(leader, sig)


class NetnsProcess(ProcessBase):
    """A spawned process of a namespace host (see ``hosts.process.Process``)."""

    def __init__(self, name: str, host: str, child: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.name = name
        self.host = host
        self.stdout = stdout
        self.stderr = stderr
        self._child = child
        inside = wait_until(
            lambda: entered(child.pid) or (child.poll() is not None and -1),
            timeout=ENTER_SECONDS,
            interval=0.001,
            what=f"{name} to enter {host}",
        )
        self.pid = int(inside)
        """Process id as seen from here, or -1 when the process had ended at once."""

    @property
    def returncode(self) -> int | None:
        return self._child.returncode

    def poll(self) -> int | None:
        return self._child.poll()

    def wait(self, timeout: float) -> int:
        if self._child.poll() is None:
            pidfd = os.pidfd_open(self._child.pid)
            try:
                poller = select.poll()
                poller.register(pidfd, select.POLLIN)
                ended = poller.poll(timeout * 1000)
            finally:
                os.close(pidfd)
            if not ended:
                raise CommandTimeout(
                    f"{self.name} did not end within {timeout:g} s",
                    host=self.host,
                    evidence=log_tail(self.stdout, self.stderr),
                )
        return self._child.wait()

    def signal(self, sig: int) -> None:
        # While nsenter has not been reaped the process inside is its child, so the number cannot be anyone else's.
        if self._child.poll() is None and self.pid > 0:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)
            if sig == signals.SIGCONT:
                self._wake()

    def ask(self, sig: int = signals.SIGTERM) -> None:
        if self._child.poll() is None:
            signal_group(self.pid, sig)
            signal_group(self.pid, signals.SIGCONT)  # one that is stopped would not hear it
            self._wake()

    def _wake(self) -> None:
        """nsenter stops when the process inside does, and is not woken with it."""
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signals.SIGCONT)

    def finish(self, timeout: float) -> int:
        if self._child.poll() is not None:
            return self._child.returncode
        try:
            self.wait(timeout)
        except CommandTimeout:
            kill_entered(self._child.pid)
        else:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signals.SIGKILL)  # members of its group that outlived it
        return self._child.wait()
