"""A real SSH server on a host of a lab: own port, keys, accounts, home and /tmp, and nothing of this machine's changed.

Namespaces of one lab share a file system. The server runs in a mount namespace with /root, /tmp, /run and the account
files of its own (``sshd_room.sh``), so whoever logs in is on a host that has little in common with this machine but its
programs. It needs a lab built by root: sshd drops privileges to accounts that a user namespace does not have.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hopscope.errors import EnvironmentFault, ToolMissing
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import ListeningPort
from hopscope.lab.lifeline import PROGRAMS

NAME, PORT = "sshd", 22
USER, UID = "hopscope", 64711
"""An account without privileges, beside root."""
PATH = "/run/host/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Account:
    """What logging in is like on this host: the login shell of root and of ``USER``, and how many sessions a connection
    may have. ``programs`` are put on the PATH of whoever logs in, by name, with their permissions; ``sudoers`` is what
    sudo is told, where this machine has it."""

    shell: str = "/bin/bash"
    max_sessions: int = 10
    programs: Mapping[str, Path] = field(default_factory=dict)
    sudoers: str = ""


@dataclass(frozen=True)
class Sshd:
    """A server that runs. ``directory`` is its own, as seen from here; ``home`` in it is root's, ``tmp`` its /tmp."""

    process: Process
    directory: Path
    fingerprint: str

    @property
    def log(self) -> str:
        return self.process.stderr.read_text(errors="replace")


def start(host: NetnsExecutor, directory: Path, authorized: Path, account: Account | None = None) -> Sshd:
    """Start a server for the holder of the key ``authorized`` (a public key's file), and return once it listens.

    ``directory`` is made for it. Raises ToolMissing without openssh-server, EnvironmentFault in a plain user's lab.
    """
    account = account or Account()
    if host.own_user_namespace:
        raise EnvironmentFault("an SSH server needs a lab built by root", host=host.name)
    server = shutil.which("sshd", path=PATH)
    if server is None:
        raise ToolMissing("there is no sshd: apt-get install -y --no-install-recommends openssh-server", host=host.name)
    _furnish(directory, account)
    shutil.copy(authorized, directory / "authorized_keys")
    make_key(host, directory / "host_key", comment=host.name)
    (directory / "sshd_config").write_text(_config(account))
    return Sshd(_serve(host, directory, server), directory, fingerprint(directory / "host_key.pub"))


def restart(host: NetnsExecutor, *, sessions: bool) -> None:
    """End the server of a host and start it anew, with the same key, accounts and files. ``sessions`` says whether the
    connections that it has end with it, as under some service managers, or go on, as under most."""
    old = next(each for each in host.processes if each.name == NAME and each.poll() is None)
    server = str(Path(f"/proc/{old.pid}/exe").readlink())
    children = Path(f"/proc/{old.pid}/task/{old.pid}/children").read_text().split()
    old.stop()
    for child in children if sessions else ():
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    _serve(host, old.stdout.parent, server)


def _serve(host: NetnsExecutor, directory: Path, server: str) -> Process:
    return host.spawn(
        [
            *("unshare", "--mount", "--propagation", "private", "--", "sh", str(PROGRAMS / "sshd_room.sh")),
            *(str(directory), server, "-D", "-e", "-f", "/run/host/sshd_config"),
        ],
        name=NAME,
        ready=ListeningPort(PORT),
        directory=directory,
    )


def make_key(host: NetnsExecutor, path: Path, *, comment: str) -> None:
    """A new ed25519 key pair, PATH and PATH.pub."""
    host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def fingerprint(public_key: Path) -> str:
    """As ``ssh-keygen -l`` tells it: SHA256 of the key, base64 without padding (RFC 4648)."""
    blob = base64.b64decode(public_key.read_text().split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _furnish(directory: Path, account: Account) -> None:
    for name, mode in (("", 0o755), ("home", 0o700), ("user", 0o700), ("run", 0o755), ("tmp", 0o1777), ("bin", 0o755)):
        (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / name).chmod(mode)
    shutil.chown(directory / "user", UID, UID)
    for name, program in account.programs.items():
        shutil.copy(program, directory / "bin" / name)
        (directory / "bin" / name).chmod(program.stat().st_mode & 0o7777)
    if account.sudoers:
        (directory / "sudoers.d").mkdir(exist_ok=True)
        (directory / "sudoers.d" / "hopscope").write_text(account.sudoers + "\n")
        (directory / "sudoers.d" / "hopscope").chmod(0o440)
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if line.split(":")[0] not in ("root", USER)]
    ours = [f"root:x:0:0:root:/root:{account.shell}", f"{USER}:x:{UID}:{UID}::/run/host/user:{account.shell}"]
    (directory / "passwd").write_text("\n".join([*ours, *others, ""]))
    names = [line.split(":")[0] for line in [*ours, *others]]
    (directory / "shadow").write_text("".join(f"{name}:*:20000:0:99999:7:::\n" for name in names))
    (directory / "shadow").chmod(0o600)


def _config(account: Account) -> str:
    return "\n".join(
        [
            f"Port {PORT}",
            "HostKey /run/host/host_key",
            "AuthorizedKeysFile /run/host/authorized_keys",
            "AuthenticationMethods publickey",
            "PermitRootLogin prohibit-password",
            "StrictModes no",  # the directories above are this machine's, and may be a plain user's
            "UsePAM no",
            "UseDNS no",
            "PidFile none",
            f"MaxSessions {account.max_sessions}",
            f"SetEnv {shlex.quote('PATH=' + PATH)}",
            "Subsystem sftp internal-sftp",
            "",
        ]
    )
