"""Hosts reached by SSH.

A command is a session of the one connection that a host has. Whoever logs in may be a plain user: with ``sudo`` every
command becomes root by ``sudo -n``, which never asks. See ``ssh_shell`` for what the login shell is given,
``ssh_stream`` for when a command has ended, ``ssh_process`` for what stays, ``ssh_connection`` for trust and bounds.
"""

from __future__ import annotations

import secrets
import signal as signals
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts import ssh_shell
from hopscope.hosts.command import OUTPUT_LIMIT, Outcome
from hopscope.hosts.executor import Command, conclude
from hopscope.hosts.process import CLOSE_SECONDS, Process, log_files
from hopscope.hosts.remote import Account, RemoteExecutor
from hopscope.hosts.ssh_connection import Connection, Target
from hopscope.hosts.ssh_files import Files
from hopscope.hosts.ssh_process import SshProcess
from hopscope.hosts.ssh_stream import Stream

KILL_SECONDS = 3.0
MKDIR_SECONDS = 10.0
BROKEN = (ConnectionLost, OSError, EOFError, paramiko.SSHException)
"""What a connection that breaks may show itself as."""
BEGIN_SECONDS = 20.0  # start-up files of a login shell may be slow
HASH_SECONDS = 120.0
HASH_HERE = 8 << 20
_SHA256 = """
import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as file:
    while data := file.read(1 << 20):
        digest.update(data)
print(digest.hexdigest())
"""


@dataclass
class SshExecutor(RemoteExecutor):
    """The hands of one host.

    ``directory`` is its scratch directory there, ``logs`` where output of its processes goes on this machine; ``sudo``
    says that the login has to become root.
    """

    name: str
    target: Target
    directory: Path
    logs: Path
    sudo: bool = False
    python: str = "python3"
    here: bool = False
    processes: list[Process] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.connection = Connection(self.name, self.target)
        self._files = Files(self.name, self._file_session, self.connection.release, self._hash)
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()
        self._made = False
        self.bar: Callable[[], EnvironmentFault | None] = lambda: None
        """Why nothing may run on this host any more, where that is so."""
        self.seen_from = ("", "", "", "")
        """Address and port of both ends of the connection as the host sees it: ours first."""

    def _launch(self, command: Command, name: str, logs: Path | None) -> SshProcess:
        self._refuse_barred()
        become, line, token = self._line(command, stays=True)
        channel = self.connection.open(command.words, timeout=BEGIN_SECONDS)
        paths, files = log_files(logs or self.logs, name)
        stream = Stream(channel, token, files[0].write, files[1].write)
        try:
            channel.get_transport().execute(channel, line)
            self._begin(stream, command.words, time.monotonic() + BEGIN_SECONDS)
        except BaseException as error:
            self.connection.release(channel)
            if isinstance(error, BROKEN):
                raise self.connection.lost(command.words) from error
            raise
        return SshProcess(
            name,
            self.name,
            stream,
            paths,
            files,
            kill=lambda sig, target: self._kill(sig, target, become),
            lost=lambda: self.connection.lost(command.words),
            release=lambda: self.connection.release(channel),
        )

    def put(self, local: Path, remote: str) -> None:
        self.prepare()
        self._files.put(local, str(self.directory / remote))

    def get(self, remote: str, local: Path) -> None:
        self.prepare()
        self._files.get(str(self.directory / remote), local)

    def prepare(self) -> None:
        """Make the scratch directory. Its name is not to be guessed, and others may pass through it but not look."""
        with self._lock:
            if not self._made:
                mkdir = Command(("mkdir", "-p", "-m", "711", str(self.directory)), cwd="/")
                made = self._complete(mkdir, MKDIR_SECONDS, login=True)
                conclude(mkdir.argv, made, timeout=MKDIR_SECONDS, check=True, host=self.name)
                self._made = True

    def close(self, timeout: float = CLOSE_SECONDS) -> list[BaseException]:
        """Stop every process that was spawned, remove the scratch directory, end the connection. What went wrong."""
        errors = self._end_all(timeout)
        try:
            if self._made:
                self._own("rm", "-rf", str(self.directory), timeout=30)
        except EnvironmentFault as error:
            errors.append(error)
        self._made = False
        self._files.close()
        self.connection.close()
        return errors

    def _complete(self, command: Command, timeout: float, *, login: bool = False) -> Outcome:
        """``login``: as whoever logs in, without becoming root."""
        self._refuse_barred()
        become, line, token = self._line(command, login=login)
        started = time.monotonic()
        deadline = started + timeout
        outcome = Outcome()
        with self.connection.session(command.words, timeout=timeout) as channel:
            stream = Stream(channel, token, outcome.stdout.extend, outcome.stderr.extend)
            try:
                channel.get_transport().execute(channel, line)
                outcome.returncode = stream.complete(command.stdin, deadline, OUTPUT_LIMIT)
            except BROKEN as error:
                raise self.connection.lost(command.words, _tail(outcome)) from error
            outcome.seconds = time.monotonic() - started
            if outcome.returncode is None and stream.begun:
                self._end(stream, become, command.words, outcome)
        if not stream.begun:
            raise self._not_begun(stream, command.words, outcome.returncode)
        if len(stream.connection) == 4:
            self.seen_from = stream.connection
        return outcome

    def _refuse_barred(self) -> None:
        if (fault := self.bar()) is not None:
            raise fault

    def _end(self, stream: Stream, become: Sequence[str], words: str, outcome: Outcome) -> None:
        """Kill what is past its deadline, by another session; that does not get through where the host has gone."""
        try:
            self._kill(signals.SIGKILL, -stream.group, become)
        except EnvironmentFault as error:
            raise self.connection.lost(words, _tail(outcome)) from error
        stream.complete(None, time.monotonic() + KILL_SECONDS)

    def _begin(self, stream: Stream, words: str, deadline: float) -> None:
        """Wait for the first line of a process that stays."""
        stream.until(lambda: stream.begun, deadline)
        if stream.begun:
            return
        if stream.channel.closed and stream.ending is None:
            raise ConnectionLost("the connection was lost")
        raise self._not_begun(stream, words, stream.ending)

    def _not_begun(self, stream: Stream, words: str, code: int | None) -> EnvironmentFault:
        ended = "it is still busy" if code is None else f"it ended with {code}"
        by_sudo = f"; does sudo -n work for {self.target.user}?" if self.sudo else ""
        return EnvironmentFault(
            f"the login of {self.target.place} did not come to `{words}`: {ended}{by_sudo}",
            host=self.name,
            evidence=stream.noise or "it said nothing",
        )

    def _kill(self, sig: int, target: int, become: Sequence[str]) -> None:
        """Signal a process, or with a negative number a group; nothing happens where there is none any more."""
        name = signals.Signals(sig).name.removeprefix("SIG")
        with self.connection.session(f"kill {name} {target}", timeout=KILL_SECONDS, reserved=True) as channel:
            stream = Stream(channel, "", lambda data: None, lambda data: None)
            try:
                channel.get_transport().execute(channel, ssh_shell.kill(name, target, become=become))
                stream.complete(None, time.monotonic() + KILL_SECONDS)
            except BROKEN as error:
                raise self.connection.lost(f"kill {name} {target}") from error

    def _line(self, command: Command, *, stays: bool = False, login: bool = False) -> tuple[Sequence[str], str, str]:
        """What stands before every command of this account, the whole line, and its token."""
        other = command.user is not None and command.user != self.target.user
        become: tuple[str, ...] = ()
        if other and self.target.user != "root":
            become = ("sudo", "-n", "-u", str(command.user), "--")
        elif command.user is None and self.sudo and not login:
            become = ("sudo", "-n", "--")
        words = self._clean(command, switch=other and not become)
        token, reads = f"hopscope-{secrets.token_hex(8)}", bool(command.stdin)
        return become, ssh_shell.begin(words, token=token, become=become, stays=stays, reads=reads), token

    def _file_session(self) -> paramiko.Channel:
        return self.connection.open("file transfers", timeout=BEGIN_SECONDS)

    def _hash(self, path: str, size: int) -> str:
        """By hashlib where it pays to start Python: its sha256 may be eight times as fast as that of coreutils."""
        argv = ["sha256sum", "--", path] if size < HASH_HERE else [self.python, "-I", "-S", "-c", _SHA256, path]
        return self._own(*argv, timeout=HASH_SECONDS).text.split()[0].lstrip("\\")


def _tail(outcome: Outcome) -> str:
    """What a command that was lost had said."""
    said = bytes(outcome.stderr or outcome.stdout)[-2000:].decode(errors="replace").strip()
    return f"it had said:\n{said}" if said else ""
