"""The hands of one host: what every way to reach a host offers.

An executor takes argument lists, never shell strings. Each command is a session of its own with a time limit; a
process that stays is spawned, has a ready condition, and is ended by its process group.
"""

from __future__ import annotations

import shlex
import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hopscope.errors import CommandFailed, CommandTimeout, ToolMissing
from hopscope.hosts.command import OUTPUT_LIMIT, Outcome
from hopscope.hosts.process import Process
from hopscope.hosts.ready import Ready

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes of env(1) for a command it could not start


@dataclass(frozen=True)
class Result:
    """What a command that ended left behind.

    ``returncode`` is the exit code, or the negated number of the signal that ended the command; ``seconds`` is wall
    time from start to end. Output is bytes as written: nothing is decoded, cut or normalised.
    """

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text, without white space at its ends."""
        return self.stdout.decode(errors="replace").strip()

    @property
    def command(self) -> str:
        """The command as one would type it, for messages."""
        return shlex.join(self.argv)

    def tail(self, lines: int = 20) -> str:
        """The last lines of standard error, or of standard output where that is empty: evidence for an error."""
        text = (self.stderr.strip() or self.stdout.strip()).decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def conclude(argv: Sequence[str], outcome: Outcome, *, timeout: float, check: bool, host: str) -> Result:
    """What ``Executor.run`` returns or raises for a command that ended, or was ended by us."""
    code = outcome.returncode
    result = Result(
        tuple(argv),
        -signals.SIGKILL if code is None else code,
        bytes(outcome.stdout),
        bytes(outcome.stderr),
        outcome.seconds,
    )
    if code is None and outcome.seconds < timeout:
        raise CommandFailed(f"`{result.command}` wrote more than {OUTPUT_LIMIT} bytes", host=host)
    if code is None:
        raise CommandTimeout(f"`{result.command}` did not end within {timeout:g} s", host=host, evidence=result.tail())
    if code in (NOT_EXECUTABLE, NOT_FOUND) and result.stderr.startswith(b"env: "):
        raise ToolMissing(f"`{argv[0]}` could not be started", host=host, evidence=result.tail())
    if check and code != 0:
        raise CommandFailed(f"`{result.command}` ended with {code}", host=host, evidence=result.tail())
    return result


class Executor(Protocol):
    """One host.

    ``name`` is the host's name in the topology, ``directory`` its own scratch directory (absolute, on the host).
    Unless ``cwd`` says otherwise commands run there, with a small environment (PATH, LANG, HOME) plus ``env``.
    ``python`` is the interpreter for programs of ours; ``here`` says that the host is this machine: it has our clock
    and our files, at the same paths.
    """

    @property
    def name(self) -> str: ...

    @property
    def directory(self) -> Path: ...

    @property
    def python(self) -> str: ...

    @property
    def here(self) -> bool: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float = 10.0,
        check: bool = True,
        user: str | None = None,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
    ) -> Result:
        """Run a command to its end.

        Raises CommandFailed for a code other than 0 (unless ``check`` is off), CommandTimeout after ``timeout``
        seconds (its process group is killed), ToolMissing when there is no such program.
        """
        ...

    def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str,
        ready: Ready | None = None,
        ready_timeout: float = 10.0,
        user: str | None = None,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Process:
        """Start a process that stays, and return once it is ready.

        Its output goes to ``DIRECTORY/NAME.out`` and ``NAME.err`` on this machine. Raises EnvironmentFault with the
        tail of its log when it ends or is not ready within ``ready_timeout`` seconds; nothing is left running then.
        """
        ...

    def put(self, local: Path, remote: str) -> None:
        """Copy a file to the host, with its mode; a relative ``remote`` is below the host's directory."""
        ...

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the host; a relative ``remote`` is below the host's directory."""
        ...
