"""Hosts that are network namespaces of a lab on this machine.

Commands enter by ``nsenter`` (util-linux): the keeper's mount and PID namespace, its user namespace when the lab
belongs to a plain user, and the host's network namespace, which the keeper holds open as a file descriptor. A command
costs about 3 ms. ``nsenter`` stays outside as the parent of the command; the command is a session of its own inside,
so it dies with the lab whatever happens to us.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal as signals
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hopscope.errors import EnvironmentFault, ToolMissing
from hopscope.hosts.command import Outcome, complete
from hopscope.hosts.executor import SYSTEM_PATH, Command, Executor
from hopscope.hosts.netns_process import NetnsProcess, kill_entered
from hopscope.hosts.process import CLOSE_SECONDS, Process, log_files


@dataclass
class NetnsExecutor(Executor):
    """The hands of one namespace.

    ``keeper`` is the process id of the lab's keeper and ``netns_fd`` the descriptor in it that holds this host's
    network namespace; ``own_user_namespace`` says that the lab was built by a plain user.
    """

    name: str
    directory: Path
    keeper: int
    netns_fd: int
    own_user_namespace: bool = False
    processes: list[Process] = field(default_factory=list, repr=False)
    python: str = sys.executable
    here: bool = True

    def _complete(self, command: Command, timeout: float) -> Outcome:
        environment = self._environment(command.user, command.env)
        self._find(command.argv, environment)
        entry = self._enter(command.argv, command.user, command.cwd)
        return complete(entry, timeout=timeout, env=environment, stdin=command.stdin, kill=kill_entered)

    def _launch(self, command: Command, name: str, logs: Path | None) -> NetnsProcess:
        environment = self._environment(command.user, command.env)
        self._find(command.argv, environment)
        paths, (out, err) = log_files(logs or self.directory, name)
        with out, err:
            child = subprocess.Popen(
                self._enter(command.argv, command.user, command.cwd),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
        return NetnsProcess(name, self.name, child, *paths)

    def walk_in(self, argv: Sequence[str], *, cwd: Path | None = None) -> tuple[list[str], dict[str, str]]:
        """Command line and environment for a person at a terminal: no session of its own, so that the terminal's
        keys reach it. Raises ToolMissing when there is no such program."""
        environment = self._environment(None, None)
        self._find(argv, environment)
        return self._enter(argv, None, cwd, session=False), environment

    def put(self, local: Path, remote: str) -> None:
        self._copy(local, self.directory / remote)

    def get(self, remote: str, local: Path) -> None:
        self._copy(self.directory / remote, local)

    def _copy(self, source: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        except OSError as error:
            raise EnvironmentFault(
                f"a file could not be copied: {source} to {target}", host=self.name, evidence=str(error)
            ) from error

    def close(self, timeout: float = CLOSE_SECONDS) -> list[BaseException]:
        """Stop every process that was spawned and still runs, all at once. Returns what went wrong."""
        return self._end_all(timeout)

    def _enter(
        self, argv: Sequence[str], user: str | None, cwd: Path | str | None, *, session: bool = True
    ) -> list[str]:
        """The whole command line, from here into the host. A relative ``cwd`` is below the host's directory."""
        entry = [*_hearing(), "nsenter", f"--target={self.keeper}"]
        if self.own_user_namespace:
            entry += ["--user", "--preserve-credentials"]
        entry += ["--mount", "--pid", f"--net=/proc/{self.keeper}/fd/{self.netns_fd}", "--"]
        if session:
            entry.append("setsid")
        if user is not None:
            account = self._account(user)
            entry += ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        return [*entry, "env", f"--chdir={self.directory / (cwd or '')}", *argv]

    def _environment(self, user: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
        path = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_PATH]
        home = str(self.directory) if user is None else self._account(user).pw_dir
        return {
            "PATH": os.pathsep.join(dict.fromkeys(folder for folder in path if folder)),
            "LANG": "C.UTF-8",
            "HOME": home,
            **(extra or {}),
        }

    def _account(self, user: str) -> pwd.struct_passwd:
        if self.own_user_namespace:
            raise EnvironmentFault(f"user={user!r} needs a lab built by root", host=self.name)
        with suppress(KeyError):
            return pwd.getpwnam(user)
        raise EnvironmentFault(f"there is no user {user!r}", host=self.name)

    def _find(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """The file system is shared, so a missing program is seen here, before a process is made for it."""
        for tool in ("nsenter", argv[0]):
            if os.sep not in tool and shutil.which(tool, path=environment["PATH"]) is None:
                raise ToolMissing(f"there is no program `{tool}` on PATH", host=self.name, evidence=environment["PATH"])


def _hearing() -> list[str]:
    """Has a command hear the signals that we ignore, where a shell has started us in the background: `pytest &`.

    Being ignored is inherited, also by what a session stops with INT.
    """
    ignored = [sig.name[3:] for sig in (signals.SIGINT, signals.SIGQUIT) if signals.getsignal(sig) is signals.SIG_IGN]
    return ["env", f"--default-signal={','.join(ignored)}"] if ignored else []
