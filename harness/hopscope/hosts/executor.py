"""The hands of one host: what every way to reach a host offers.

An executor takes argument lists, never shell strings. Each command is a session of its own with a time limit; a
process that stays is spawned, has a ready condition, and is ended by its process group.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hopscope.hosts.process import Process
from hopscope.hosts.ready import Ready


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


class Executor(Protocol):
    """One host.

    ``name`` is the host's name in the topology, ``directory`` its own scratch directory (absolute, on the host).
    Unless ``cwd`` says otherwise commands run there, with a small environment (PATH, LANG, HOME) plus ``env``.
    """

    @property
    def name(self) -> str: ...

    @property
    def directory(self) -> Path: ...

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

        Its output goes to ``DIRECTORY/NAME.out`` and ``NAME.err``. Raises EnvironmentFault with the tail of its log
        when it ends or is not ready within ``ready_timeout`` seconds; nothing is left running then.
        """
        ...

    def put(self, local: Path, remote: str) -> None:
        """Copy a file to the host; a relative ``remote`` is below the host's directory."""
        ...

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the host; a relative ``remote`` is below the host's directory."""
        ...
