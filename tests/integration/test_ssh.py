"""What is particular to hosts reached by SSH: trust, the login, bounds, and connections that break."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.errors import CommandTimeout, ConnectionLost, EnvironmentFault
from hopscope.hosts.ready import LogLine
from hopscope.hosts.ssh import SshExecutor
from hopscope.lab import checkout
from hopscope.lab.sshd import Account
from hopscope.lab.wait import wait_until
from hopscope.model.sut import Checkout
from support import ssh_hosts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")


#: The line that the docs tell people to write.
SUDOERS = re.findall(r"^ +(lab ALL=.*)$", (Path(__file__).parents[2] / "docs/ssh.md").read_text(), re.MULTILINE)[0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("ssh")
    accounts = {
        "clientnic": Account(shell="/bin/dash", sudoers=SUDOERS.replace("lab", "hopscope", 1)),
        "servernic": Account(max_sessions=3),
        "server": Account(programs={"sudo": ssh_hosts.build_sudo(folder)}),
    }
    with ssh_hosts.lab_with_doors(folder, accounts) as (lab, targets):
        yield lab, targets, folder / "logs"


@pytest.fixture
def reach(world):
    """``reach("client", sudo=True, port=…)``: hands that are closed at the end of the test."""
    _, targets, logs = world
    hands: list[SshExecutor] = []

    def reach(host: str, *, executor: dict[str, object] | None = None, **target: object) -> SshExecutor:
        hands.append(ssh_hosts.executor(host, replace(targets[host], **target), logs, **(executor or {})))
        return hands[-1]

    yield reach
    for each in hands:
        each.close()


@pytest.fixture
def home(world):
    """Root's home on the client, as seen from here; start-up files written there are gone after the test."""
    folder = ssh_hosts.server_directory(world[0], "client") / "home"
    yield folder
    for name in (".bashrc", ".profile", ".bash_profile"):
        (folder / name).unlink(missing_ok=True)


def break_connection(host: SshExecutor) -> None:
    """End the server's side of it: the processes of sshd that have this login, and not the one that listens."""
    host.run(["sh", "-c", 'kill -KILL "$(ps -o ppid= -p $$ | tr -d " ")"'], check=False, timeout=5)


# -- trust ------------------------------------------------------------------------------------------------------------


def test_a_host_with_another_key_than_the_pinned_one_is_sent_nothing(reach, world) -> None:
    host = reach("client", fingerprint="SHA256:" + "A" * 43)
    with pytest.raises(EnvironmentFault, match="is not the pinned one: nothing was sent") as caught:
        host.run(["true"])
    assert f"seen:   ssh-ed25519 {world[1]['client'].fingerprint}" in (caught.value.evidence or "")


def test_a_host_that_nobody_knows_is_not_learnt(reach, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    with pytest.raises(EnvironmentFault, match=r"is not in .*known_hosts"):
        reach("client", fingerprint=None, known_hosts=known).run(["true"])
    assert not known.exists()


def test_known_hosts_are_trusted_and_no_other_key_of_theirs(reach, world, tmp_path: Path) -> None:
    lab, targets, _ = world
    known = tmp_path / "known_hosts"
    keys = {name: (ssh_hosts.server_directory(lab, name) / "host_key.pub").read_text().split() for name in targets}
    known.write_text(f"{targets['client'].address} {' '.join(keys['client'][:2])}\n")
    assert reach("client", fingerprint=None, known_hosts=known).run(["echo", "in"]).text == "in"
    known.write_text(f"{targets['client'].address} {' '.join(keys['server'][:2])}\n")
    with pytest.raises(EnvironmentFault, match="is another one than in"):
        reach("client", fingerprint=None, known_hosts=known).run(["true"])


def test_a_login_that_is_refused_tells_each_key(reach, tmp_path: Path, world) -> None:
    world[0].hosts["management"].run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")])
    with pytest.raises(EnvironmentFault, match="takes none of the keys") as caught:
        reach("client", keys=(tmp_path / "none", tmp_path / "other")).run(["true"])
    evidence = (caught.value.evidence or "").splitlines()
    assert [line.partition(":")[0] for line in evidence] == [str(tmp_path / "none"), str(tmp_path / "other")]


def test_a_proxy_that_leads_nowhere_is_told_in_its_own_words(reach) -> None:
    with pytest.raises(EnvironmentFault, match=r"root@100\.64\.0\.2:22 cannot be reached by SSH") as caught:
        reach("client", proxy_command=("sh", "-c", "echo no way to {address} >&2; exit 1")).run(["true"])
    assert "proxy_command said: no way to 100.64.0.2" in (caught.value.evidence or "")
    with pytest.raises(EnvironmentFault, match="proxy_command cannot be started"):
        reach("client", proxy_command=("no-such-program",)).run(["true"])


def test_a_host_behind_another_is_reached_through_it(reach, world) -> None:
    """The server's own address is one that nobody but the chain leads to."""
    host = reach("server", address="10.1.2.10", jump=world[1]["client"], proxy_command=())
    assert "mgmt0" in host.run(["ip", "-br", "link"]).text
    assert host.seen_from[0] == "10.1.0.10"
    with pytest.raises(EnvironmentFault, match=r"root@100\.64\.0\.2:22 does not lead on to"):
        reach("server", address="10.1.2.10", port=9, jump=world[1]["client"], proxy_command=()).run(["true"])


# -- the login --------------------------------------------------------------------------------------------------------


def test_what_start_up_files_print_and_export_does_not_matter(reach, home: Path) -> None:
    (home / ".bashrc").write_text(
        "echo hello; printf more; echo complaint >&2; export PATH=/nowhere:$PATH X=1; cd /; set -e\n"
    )
    host = reach("client")
    result = host.run(["sh", "-c", "echo $X; pwd"])
    assert (result.text.split(), result.stderr) == ([str(host.directory)], b"")
    with host.spawn(["sh", "-c", "echo up; sleep 60"], name="quiet", ready=LogLine("^up$")) as process:
        assert process.lines() == ["up"]
        assert process.stderr.read_bytes() == b""


def test_a_login_that_goes_elsewhere_is_named_with_its_words(reach, home: Path) -> None:
    (home / ".bashrc").write_text("echo no entry today; exit 3\n")
    with pytest.raises(
        EnvironmentFault, match=r"the login of root@.* did not come to `mkdir.*: it ended with 3"
    ) as caught:
        reach("client").run(["true"])
    assert caught.value.evidence == "no entry today"


def test_another_login_shell_reads_the_same_line(reach) -> None:
    words = ["it's", "\\", "$HOME", "a\nb"]
    assert reach("clientnic").run(["printf", "%s,", *words]).text == ",".join([*words, ""])


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshenv"), ("fish", ".config/fish/config.fish")]
)
def test_a_shell_whose_start_up_file_talks_is_as_any_other(reach, world, home: Path, shell: str, file: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} on this machine")
    accounts = home.parent / "passwd"  # sshd reads it at each login
    before = accounts.read_text()
    accounts.write_text(before.replace(":/root:/bin/bash\n", f":/root:{program}\n", 1))
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text("echo welcome; echo mind the step >&2; cd /\n")
    try:
        words = ["it's", "\\", "$HOME", "a\nb", "*", "!!", "{a,b}", "~"]
        host = reach("client")
        result = host.run(["printf", "%s,", *words])
        assert (result.text, result.stderr) == (",".join([*words, ""]), b"")
        with host.spawn(["sh", "-c", "echo up; sleep 60"], name=shell, ready=LogLine("^up$")) as process:
            assert process.lines() == ["up"]
        with pytest.raises(CommandTimeout):
            host.run(["sleep", "64"], timeout=0.5)
    finally:
        accounts.write_text(before)
        (home / file).unlink()


@pytest.mark.skipif(shutil.which("sudo") is None, reason="there is no sudo on this machine")
def test_sudo_with_the_line_of_the_docs_is_enough(reach, tmp_path: Path) -> None:
    host = reach("clientnic", executor={"sudo": True}, user="hopscope")
    assert host.run(["id", "-u"]).text == "0"
    with host.spawn(["sh", "-c", "echo up; sleep 60 & wait"], name="root", ready=LogLine("up")) as process:
        assert host.run(["ps", "-o", "user=", "-p", str(process.pid)]).text == "root"
    with pytest.raises(CommandTimeout):
        host.run(["sh", "-c", "sleep 65 & sleep 66"], timeout=0.5)
    assert host.run(["pgrep", "-f", "sleep 6[56]"], check=False).text == ""
    assert host.run(["id", "-un"], user="hopscope").text == "hopscope"


def test_a_key_of_the_agent_opens_the_door(reach, world, monkeypatch) -> None:
    key = world[1]["client"].keys[0]
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, timeout=10, check=True).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", re.findall(r"SSH_AUTH_SOCK=([^;]+)", started)[0])
    pid = int(re.findall(r"SSH_AGENT_PID=(\d+)", started)[0])
    try:
        with pytest.raises(EnvironmentFault, match="takes none of the keys"):
            reach("client", keys=(), agent=True).run(["true"])
        subprocess.run(["ssh-add", "-q", str(key)], timeout=10, check=True)
        assert reach("client", keys=(), agent=True).run(["echo", "in"]).text == "in"
    finally:
        os.kill(pid, signal.SIGTERM)


def test_without_leave_for_sudo_it_is_said(reach) -> None:
    host = reach("server", executor={"sudo": True}, user="hopscope")
    with pytest.raises(
        EnvironmentFault, match=r"did not come to `id`: it ended with 1; does sudo -n work for hopscope\?"
    ) as caught:
        host.run(["id"])
    assert caught.value.evidence == "sudo: a password is required"


# -- bounds -----------------------------------------------------------------------------------------------------------


def test_when_all_sessions_are_taken_the_error_says_by_what(reach) -> None:
    host = reach("servernic")
    with host.spawn(["sleep", "61"], name="one"), host.spawn(["sleep", "62"], name="two"):
        with pytest.raises(CommandTimeout, match=r"no session became free within 0\.3 s for `true`") as caught:
            host.run(["true"], timeout=0.3)
        assert (caught.value.evidence or "").splitlines() == ["busy:", "sleep 61", "sleep 62"]
    assert host.run(["echo", "free"]).text == "free"


# -- connections that break -------------------------------------------------------------------------------------------


def test_a_command_whose_connection_breaks_is_named_and_the_next_one_runs(reach) -> None:
    host = reach("client")
    script = 'echo so far >&2; kill -KILL "$(ps -o ppid= -p $$ | tr -d " ")"; sleep 5'
    started = time.monotonic()
    with pytest.raises(
        ConnectionLost, match=r"the connection to root@100\.64\.0\.2:22 was lost while `sh -c"
    ) as caught:
        host.run(["sh", "-c", script])
    assert time.monotonic() - started < 4
    assert caught.value.host == "client"
    assert "so far" in (caught.value.evidence or "")
    assert host.run(["echo", "back"]).text == "back"


def test_a_process_ends_with_its_connection_and_is_not_taken_for_one_that_ended_by_itself(reach) -> None:
    host = reach("client")
    script = "trap 'echo asked >/tmp/asked; exit' TERM; sleep 60 & echo $$ $!; wait"
    process = host.spawn(["sh", "-c", script], name="worker", ready=LogLine(r"^\d+ \d+$"))
    pids = process.lines()[0].split()
    with pytest.raises(ConnectionLost):
        break_connection(host)
    with pytest.raises(ConnectionLost, match="was lost while `sh -c"):
        process.wait(5)
    with pytest.raises(ConnectionLost):
        process.poll()
    for pid in pids:
        wait_until(
            lambda pid=pid: host.run(["test", "-e", f"/proc/{pid}"], check=False).returncode, timeout=8, what="its end"
        )
    assert host.run(["cat", "/tmp/asked"]).text == "asked"
    assert process.stop() == -signal.SIGKILL


def test_a_proxy_that_dies_is_a_lost_connection(reach, world) -> None:
    host = reach("client")
    host.run(["true"])
    with host.spawn(["sh", "-c", "echo up; sleep 60"], name="long", ready=LogLine("up")) as process:
        proxy = host.connection._proxy
        assert proxy is not None
        proxy._child.kill()
        with pytest.raises(ConnectionLost):
            process.wait(5)
    assert host.run(["echo", "back"]).text == "back"


def test_a_host_that_falls_silent_is_no_command_that_hangs(reach, world) -> None:
    """The link goes down under a command: at its deadline the kill does not get through, and that is what is told."""
    lab, _, _ = world
    host = reach("client")
    host.run(["true"])
    center = lab.hosts["management"]
    port = next(link.a.name for link in lab.topology.links if {link.a.host, link.b.host} == {"management", "client"})
    try:
        center.spawn(["sh", "-c", 'sleep 0.3; ip link set dev "$0" down', port], name="cut")
        with pytest.raises(ConnectionLost, match="was lost while `sleep 63`"):
            host.run(["sleep", "63"], timeout=1)
    finally:
        center.run(["ip", "link", "set", "dev", port, "up"])


def test_a_server_that_hangs_for_a_moment_keeps_its_connection_and_what_runs(reach, world) -> None:
    inside, host = world[0].hosts["client"], reach("client")
    server = host.run(["sh", "-c", "ps -o ppid= -p $$"]).text
    with host.spawn(["sleep", "67"], name="long") as process:
        inside.run(["kill", "-STOP", server])
        try:
            with pytest.raises(CommandTimeout, match=r"opened no session within 1 s for `true`"):
                host.run(["true"], timeout=0.5)
        finally:
            inside.run(["kill", "-CONT", server])
        assert host.run(["echo", "back"]).text == "back"
        assert process.poll() is None


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_what_was_there(reach, tmp_path: Path) -> None:
    host = reach("server")
    host.run(["mkdir", "small"])
    host.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "small"])
    (tmp_path / "first").write_text("first")
    (tmp_path / "large").write_bytes(secrets.token_bytes(4 << 20))
    try:
        host.put(tmp_path / "first", "small/file")
        with pytest.raises(EnvironmentFault, match=r"large to .*small/file"):
            host.put(tmp_path / "large", "small/file")
        host.get("small/file", tmp_path / "back")
    finally:
        host.run(["umount", "small"])
    assert (tmp_path / "back").read_text() == "first"


# -- checkouts --------------------------------------------------------------------------------------------------------

REPOSITORY = """
set -e
umask 022
git -c init.defaultBranch=main init -q origin
cd origin
commit() { echo "$1" >box; git add box; git -c user.name=a -c user.email=a@example.org commit -qm "$1"; }
commit one
git clone -q . ../clone
commit two
"""


def test_a_checkout_comes_to_its_revision_and_stays_its_owners(reach) -> None:
    host = reach("client")
    host.run(["install", "-d", "-o", "hopscope", "/tmp/theirs"])
    host.run(["sh", "-c", REPOSITORY], user="hopscope", cwd="/tmp/theirs")
    told = checkout.update(host, Checkout(path="/tmp/theirs/clone", ref="main"))
    assert (told["owner"], host.run(["cat", "/tmp/theirs/clone/box"]).text) == ("hopscope", "two")
    assert told["revision"] != told["before"]
    assert host.run(["find", "/tmp/theirs/clone", "!", "-user", "hopscope"]).text == ""
