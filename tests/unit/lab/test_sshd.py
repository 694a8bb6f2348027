"""What a host's SSH server is given: accounts, sudo's lines, its configuration."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hopscope.lab import sshd
from hopscope.lab.sshd import Account


@pytest.fixture
def furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sshd.shutil, "chown", lambda *_: None)  # which needs root
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o4755)
    sshd._furnish(tmp_path / "ssh", Account("/bin/zsh", 4, {"sudo": program}, "hopscope ALL=(root) NOPASSWD: ALL"))
    return tmp_path / "ssh"


def test_root_and_the_plain_account_have_the_shell_and_all_others_are_as_they_were(furnished: Path) -> None:
    lines = (furnished / "passwd").read_text().splitlines()
    assert lines[0] == "root:x:0:0:root:/root:/bin/zsh"
    assert lines[1] == "hopscope:x:64711:64711::/run/host/user:/bin/zsh"
    here = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("root:")]
    assert lines[2:] == here
    shadow = (furnished / "shadow").read_text().splitlines()
    assert [line.split(":")[0] for line in shadow] == [line.split(":")[0] for line in lines]
    assert all(line.split(":")[1] == "*" for line in shadow), "nobody has a password"
    assert (furnished / "shadow").stat().st_mode & 0o777 == 0o600


def test_programs_keep_their_permissions_and_sudo_takes_its_file(furnished: Path) -> None:
    assert (furnished / "bin/sudo").stat().st_mode & 0o7777 == 0o4755
    lines = furnished / "sudoers.d/hopscope"
    assert lines.read_text() == "hopscope ALL=(root) NOPASSWD: ALL\n"
    assert lines.stat().st_mode & 0o777 == 0o440
    assert (furnished / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_only_keys_open_the_door() -> None:
    told = sshd._config(Account(max_sessions=4)).splitlines()
    assert {"AuthenticationMethods publickey", "MaxSessions 4", "UsePAM no", "PidFile none"} <= set(told)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen on this machine")
def test_a_fingerprint_is_what_ssh_keygen_says(tmp_path: Path) -> None:
    file = tmp_path / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
    subprocess.run(make, check=True, timeout=20)
    told = subprocess.run(["ssh-keygen", "-lf", str(file)], check=True, capture_output=True, text=True, timeout=20)
    assert sshd.fingerprint(file.with_suffix(".pub")) == told.stdout.split()[1]
