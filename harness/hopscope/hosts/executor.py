"""The hands of one host: what every way to reach a host offers.

An executor takes argument lists, never shell strings. Each command is a session of its own with a time limit; a
process that stays is spawned, has a ready condition, and is ended by its process group.
"""

from __future__ import annotations

import shlex
import signal as signals
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hopscope.errors import CommandFailed, CommandTimeout, ToolMissing
from hopscope.hosts.command import OUTPUT_LIMIT, Outcome
from hopscope.hosts.process import Process, await_ready, end_all
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


@dataclass(frozen=True)
class Command:
    """What is to run on a host: the words, as whom, where, and with what. What is None is left to the host."""

    argv: tuple[str, ...]
    user: str | None = None
    cwd: Path | str | None = None
    env: Mapping[str, str] | None = None
    stdin: bytes | None = None

    @property
    def words(self) -> str:
        """As one would type it, for messages."""
        return shlex.join(self.argv)


class Executor(ABC):
    """One host.

    ``name`` is the host's name in the topology, ``directory`` its own scratch directory (absolute, on the host).
    Unless ``cwd`` says otherwise commands run there, with a small environment (PATH, LANG, HOME) plus ``env``.
    ``python`` is the interpreter for programs of ours; ``here`` says that the host is this machine: it has our clock
    and our files, at the same paths. ``processes`` are those that were spawned.

    A way to reach hosts is a class with ``_complete`` and ``_launch``, ``put`` and ``get``.
    """

    name: str
    directory: Path
    python: str
    here: bool
    processes: list[Process]

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
        self.prepare()
        return self._concluded(Command(tuple(argv), user, cwd, env, stdin), timeout, check=check)

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
        self.prepare()
        process = self._launch(Command(tuple(argv), user, cwd, env), name, directory)
        self.processes.append(process)
        try:
            await_ready(process, ready, self, ready_timeout)
        except BaseException:
            process.stop(timeout=1.0)
            raise
        return process

    @abstractmethod
    def put(self, local: Path, remote: str) -> None:
        """Copy a file to the host, with its mode; a relative ``remote`` is below the host's directory."""

    @abstractmethod
    def get(self, remote: str, local: Path) -> None:
        """Copy a file from the host; a relative ``remote`` is below the host's directory."""

    def prepare(self) -> None:  # noqa: B027  there is nothing on a host that is here
        """Have there what must be there before anything runs."""

    @abstractmethod
    def _complete(self, command: Command, timeout: float) -> Outcome:
        """Run a command until it has ended, or was ended after ``timeout`` seconds."""

    @abstractmethod
    def _launch(self, command: Command, name: str, logs: Path | None) -> Process:
        """Start a process, its output going to files in ``logs``, or where this host's go."""

    def _concluded(self, command: Command, timeout: float, *, check: bool = True) -> Result:
        outcome = self._complete(command, timeout)
        return conclude(command.argv, outcome, timeout=timeout, check=check, host=self.name)

    def _end_all(self, timeout: float) -> list[BaseException]:
        """Stop every process that was spawned, all at once. Returns what went wrong."""
        errors = end_all(self.processes, timeout)
        self.processes.clear()
        return errors
