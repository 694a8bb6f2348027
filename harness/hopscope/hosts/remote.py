"""What hosts elsewhere have in common, however they are reached: accounts to be asked for, an environment of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hopscope.errors import EnvironmentFault
from hopscope.hosts import ssh_shell
from hopscope.hosts.executor import SYSTEM_PATH, Command, Executor, Result


@dataclass(frozen=True)
class Account:
    """An account of the host."""

    uid: int
    gid: int
    home: str


class RemoteExecutor(Executor):
    """``logs`` is where output of its processes goes on this machine."""

    logs: Path
    _accounts: dict[str, Account]

    def _own(self, *argv: str, timeout: float = 10.0, check: bool = True) -> Result:
        """A command of ours, which needs no scratch directory."""
        return self._concluded(Command(argv, cwd="/"), timeout, check=check)

    def _account(self, user: str) -> Account:
        if user not in self._accounts:
            entry = self._own("getent", "passwd", user, check=False).text.split(":")
            if len(entry) < 7:
                raise EnvironmentFault(f"there is no user {user!r}", host=self.name)
            self._accounts[user] = Account(int(entry[2]), int(entry[3]), entry[5])
        return self._accounts[user]

    def _clean(self, command: Command, *, switch: bool) -> list[str]:
        """The command in its directory, and nothing of the login's environment; by ``switch`` root becomes its user."""
        account = None if command.user is None else self._account(command.user)
        environment = {
            "PATH": ":".join(SYSTEM_PATH),
            "LANG": "C.UTF-8",
            "HOME": str(self.directory) if account is None else account.home,
            **(command.env or {}),
        }
        return ssh_shell.clean(
            command.argv,
            directory=str(self.directory / (command.cwd or "")),
            environment=environment,
            account=(account.uid, account.gid) if account is not None and switch else None,
        )
