"""Hosts of a lab with a real SSH server each, for tests of what reaches them."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hopscope import data
from hopscope.hosts.ssh import SshExecutor
from hopscope.hosts.ssh_connection import Target
from hopscope.lab import management, ssh_lab, sshd
from hopscope.lab.lab import Lab
from hopscope.lab.sshd import Account
from hopscope.providers.netns import NetnsProvider

SUDO = Path(__file__).with_name("sudo.c")


def build_sudo(folder: Path) -> Path:
    """The stand-in for sudo, set user ID root where whoever logs in will find it."""
    program = folder / "sudo"
    subprocess.run(["cc", "-O1", "-o", str(program), str(SUDO)], check=True, timeout=60)
    program.chmod(0o4755)
    return program


@contextmanager
def lab_with_doors(
    directory: Path, accounts: dict[str, Account] | None = None, *, offloads: bool = False
) -> Iterator[tuple[Lab, dict[str, Target]]]:
    """A chain without delay, each of its hosts with an SSH server."""
    topology = management.with_management(data.topology("chain-lan"))
    with NetnsProvider().acquire(topology, directory=directory, offloads=offloads) as lab:
        targets = ssh_lab.open_doors(lab, accounts)
        yield lab, targets


def executor(name: str, target: Target, logs: Path, **given: object) -> SshExecutor:
    return SshExecutor(name, target, Path(f"/tmp/hopscope-{secrets.token_hex(6)}"), logs, **given)  # type: ignore[arg-type]


def plain_user(target: Target) -> Target:
    return replace(target, user=sshd.USER)


def server_directory(lab: Lab, host: str) -> Path:
    """The directory of a host's SSH server, as seen from here: ``home`` and ``tmp`` in it are what logins see."""
    return lab.hosts[host].directory / "ssh"
