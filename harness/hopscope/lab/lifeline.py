"""Our end of the life-line: the keeper as a child process, and the conversation with it and its builder."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from hopscope.errors import LabFailed, ToolMissing

PROGRAMS = Path(__file__).parent
ANSWER_SECONDS = 15.0
END_SECONDS = 10.0

# A child that is forked without exec (multiprocessing) would hold the write end too, and the lab would outlive us.
# Descriptors are closed on exec anyway; a fork has to be told, and the interpreter has one list for that.
_open: weakref.WeakSet[Lifeline] = weakref.WeakSet()


def _let_go_of_all() -> None:
    for lifeline in _open:
        lifeline.let_go()


os.register_at_fork(after_in_child=_let_go_of_all)


class Lifeline:
    """A running keeper. ``pid`` is PID 1 of the lab, as seen from here; ``own_user_namespace`` says that there was no
    privilege to do without one. Closing lets the kernel take the lab."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", str(PROGRAMS / "keeper.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C at the terminal is for us, who then close the life-line
            )
        _open.add(self)
        self._buffer = b""
        try:
            answer = self.hear("keeper")
            self.pid = int(answer["keeper"])
            self.own_user_namespace = bool(answer["own_user_namespace"])
        except BaseException:
            self.close()
            raise

    def tell(self, message: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        try:
            data = json.dumps(message).encode() + b"\n"
            while data:
                data = data[os.write(self._child.stdin.fileno(), data) :]
        except BrokenPipeError as error:
            raise self._failed("the keeper has gone") from error

    def hear(self, key: str, timeout: float = ANSWER_SECONDS) -> dict[str, Any]:
        """The next answer, which must have ``key``. Raises LabFailed with the keeper's log."""
        line = self._line(time.monotonic() + timeout)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._failed(f"the keeper said {line!r}") from None
        if "error" in answer:
            raise self._failed(answer["error"])
        if key not in answer:
            raise self._failed(f"the keeper said {answer}, not {key}")
        return dict(answer)

    def fileno(self) -> int:
        """The write end of the life-line. Whoever has it, or a copy of it, keeps the lab."""
        assert self._child.stdin is not None
        return self._child.stdin.fileno()

    def let_go(self) -> None:
        """Close our end without waiting: all that a forked child may do."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe and not pipe.closed:
                pipe.close()

    def close(self, timeout: float = END_SECONDS) -> None:
        """Let go and wait until the keeper has gone, and with it every process of the lab. Again is harmless."""
        self.let_go()
        _open.discard(self)
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            # PID 1 has the end-of-file but hangs (a stopped keeper): its death is the lab's.
            kill_keeper(self)
            self._child.kill()
            self._child.wait()
            raise LabFailed(f"the keeper did not go within {timeout:g} s and was killed") from None

    def _line(self, deadline: float) -> bytes:
        assert self._child.stdout is not None
        poller = select.poll()  # select() takes no descriptor beyond 1023, and every capture that is loaded has one
        poller.register(self._child.stdout, select.POLLIN)
        while b"\n" not in self._buffer:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise self._failed("the keeper did not answer in time")
            data = os.read(self._child.stdout.fileno(), 65536)
            if not data:
                raise self._failed("the keeper ended before the lab was up")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _failed(self, message: str) -> LabFailed:
        return LabFailed(message, evidence="\n".join(self._log.read_text(errors="replace").splitlines()[-20:]))


def kill_keeper(lifeline: Lifeline) -> None:
    try:
        os.kill(lifeline.pid, 9)
    except (ProcessLookupError, AttributeError):
        return


def builder_command() -> list[str]:
    """How the keeper starts the builder: with the interpreter alone, and the one folder that has pyroute2."""
    found = importlib.util.find_spec("pyroute2")
    if found is None or found.origin is None:
        raise ToolMissing("pyroute2 is not installed in this environment")
    return [sys.executable, "-I", "-S", str(PROGRAMS / "builder.py"), str(Path(found.origin).parent.parent)]
