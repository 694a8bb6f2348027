"""What every way to reach a host has to do alike. A new one joins by a line in ``BACKENDS``."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.errors import CommandFailed, CommandTimeout, EnvironmentFault, ToolMissing
from hopscope.hosts.executor import Executor
from hopscope.hosts.ready import ListeningPort, LogLine
from hopscope.lab.lab import Lab
from hopscope.lab.sshd import Account
from hopscope.lab.wait import wait_until
from support import cloud, ssh_hosts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")

HOST = "client"
MEGABYTES = 64
FILE_MEGABYTES = 64
#: Fewer than the commands that run at once, and told to nobody: the executor finds out.
MAX_SESSIONS = 6


def netns(lab: Lab, targets, logs: Path) -> Executor:
    """Hands of its own: the lab's have the SSH server, which would end with them."""
    return replace(lab.hosts[HOST], processes=[])


def ssh(lab: Lab, targets, logs: Path) -> Executor:
    return ssh_hosts.executor(HOST, targets[HOST], logs)


def ssh_by_sudo(lab: Lab, targets, logs: Path) -> Executor:
    """As a plain user who may use sudo, with a login shell that talks before anyone asks."""
    home = ssh_hosts.server_directory(lab, HOST) / "user"
    (home / ".bashrc").write_text('echo "Welcome to client"; echo "mind the step" >&2; export LANG=tlh; cd /\n')
    (home.parent / "sudoers").write_text("hopscope\n")
    return ssh_hosts.executor(HOST, ssh_hosts.plain_user(targets[HOST]), logs, sudo=True)


def ssm(lab: Lab, targets, logs: Path) -> Executor:
    return cloud.executor(HOST, lab, logs)


BACKENDS: dict[str, Callable[..., Executor]] = {"netns": netns, "ssh": ssh, "ssh-sudo": ssh_by_sudo, "ssm": ssm}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("conformance")
    account = Account(max_sessions=MAX_SESSIONS, programs={"sudo": ssh_hosts.build_sudo(folder)})
    with ssh_hosts.lab_with_doors(folder, {HOST: account}) as (lab, targets):
        yield lab, targets, folder / "logs"


@pytest.fixture(scope="module", params=BACKENDS)
def host(request: pytest.FixtureRequest, doors) -> Iterator[Executor]:
    executor = BACKENDS[request.param](*doors)
    with ExitStack() as stack:
        stack.callback(lambda: executor.close() == [] or pytest.fail("it did not close"))
        yield executor


def slow(host: Executor) -> bool:
    """Large files are not how it is meant to be used."""
    return getattr(host, "sudo", False) or hasattr(host, "instance")


def runs(host: Executor, pid: str | int) -> bool:
    """A zombie has ended."""
    state = host.run(["grep", "^State:", f"/proc/{pid}/status"], check=False).text
    return state != "" and "Z" not in state


def ends(host: Executor, pid: str | int) -> None:
    wait_until(lambda: not runs(host, pid), timeout=5, what=f"the end of process {pid}")


# -- commands ---------------------------------------------------------------------------------------------------------


def test_both_outputs_and_the_code(host: Executor) -> None:
    result = host.run(["sh", "-c", "printf out; printf err >&2; exit 7"], check=False)
    assert (result.returncode, result.stdout, result.stderr) == (7, b"out", b"err")
    with pytest.raises(CommandFailed, match="ended with 7") as caught:
        host.run(["sh", "-c", "echo why >&2; exit 7"])
    assert caught.value.host == HOST
    assert caught.value.evidence == "why"


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_a_signal_is_told_from_a_code(host: Executor, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    assert host.run(["sh", "-c", f"kill -{name} $$"], check=False).returncode == -number
    assert host.run(["sh", "-c", f"exit {128 + number}"], check=False).returncode == 128 + number


WORDS = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "\\",
    "\\'",
    "\\n",
    "$HOME",
    "`id`",
    "*",
    "~",
    "!!",
    "#",
    "new\nline",
    "ä→",
    "-n",
    ";&|<>",
]


def test_arguments_arrive_as_they_are(host: Executor) -> None:
    assert host.run(["printf", "%s\\0", *WORDS]).stdout.split(b"\0")[:-1] == [word.encode() for word in WORDS]


def test_binary_input_comes_back(host: Executor) -> None:
    blob = os.urandom(3_000_000) + bytes(range(256))
    assert host.run(["cat"], stdin=blob, timeout=20).stdout == blob


@pytest.mark.parametrize("stdin", [None, b""])
def test_no_input_is_an_end_of_file(host: Executor, stdin: bytes | None) -> None:
    assert host.run(["wc", "-c"], stdin=stdin).text == "0"


def test_input_that_nobody_reads_does_no_harm(host: Executor) -> None:
    assert host.run(["true"], stdin=bytes(5_000_000)).returncode == 0


def test_much_on_both_streams_at_once(host: Executor) -> None:
    size = (MEGABYTES << 20) // (4 if slow(host) else 1)
    script = 'head -c "$0" /dev/zero & head -c "$0" /dev/zero >&2; wait'
    result = host.run(["sh", "-c", script, str(size)], timeout=60)
    assert (len(result.stdout), len(result.stderr)) == (size, size)


def test_the_environment_is_small_and_our_own(host: Executor) -> None:
    lines = host.run(["env"], env={"WORD": "a b\nc"}).stdout.decode().split("\n")
    assert sorted({line.partition("=")[0] for line in lines if "=" in line}) == ["HOME", "LANG", "PATH", "WORD"]
    assert "LANG=C.UTF-8" in lines
    assert f"HOME={host.directory}" in lines


def test_who_runs_a_command(host: Executor) -> None:
    assert host.run(["id", "-u"]).text == "0"
    nobody = host.run(["sh", "-c", "id -un; id -Gn; echo $HOME"], user="nobody", cwd="/").text.split()
    assert nobody == ["nobody", "nogroup", "/nonexistent"]
    with pytest.raises(EnvironmentFault, match="there is no user 'nobodyatall'"):
        host.run(["true"], user="nobodyatall")


def test_where_a_command_runs(host: Executor) -> None:
    assert host.run(["pwd"]).text == str(host.directory)
    assert host.run(["pwd"], cwd="/usr").text == "/usr"
    host.run(["mkdir", "-p", "below"])
    assert host.run(["pwd"], cwd="below").text == str(host.directory / "below")
    with pytest.raises(CommandFailed):
        host.run(["true"], cwd="not-there")


def test_a_program_that_is_missing_is_told(host: Executor) -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        host.run(["no-such-program"])
    with pytest.raises(ToolMissing, match="/etc/passwd"):
        host.run(["/etc/passwd"])


def test_at_the_deadline_the_whole_group_is_killed(host: Executor) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match=r"did not end within 0\.4 s") as caught:
        host.run(["sh", "-c", "trap '' TERM; sleep 60 & echo $! $$; wait"], timeout=0.4)
    assert time.monotonic() - started < 5
    pids = (caught.value.evidence or "").split()
    assert len(pids) == 2
    for pid in pids:
        ends(host, pid)


@pytest.mark.parametrize(
    "script", ["sleep 60 & echo $!", "(while :; do echo more; sleep 0.01; done) & echo $! >&2; sleep 0.1"]
)
def test_the_end_is_the_exit_and_not_the_end_of_output(host: Executor, script: str) -> None:
    started = time.monotonic()
    result = host.run(["sh", "-c", script], timeout=20)
    assert time.monotonic() - started < 8
    host.run(["kill", "-KILL", (result.stderr or result.stdout).split()[0].decode()], check=False)


def test_what_was_written_last_is_there(host: Executor) -> None:
    for _ in range(5):
        result = host.run(["sh", "-c", "sleep 60 & echo $! >&2; head -c 300000 /dev/zero"])
        assert len(result.stdout) == 300_000
        host.run(["kill", result.stderr.decode().strip()])


def test_more_at_once_than_there_are_sessions(host: Executor) -> None:
    with ThreadPoolExecutor(3 * MAX_SESSIONS) as pool:
        answers = pool.map(
            lambda n: host.run(["sh", "-c", f"sleep 0.1; echo {n}"], timeout=30).text, range(3 * MAX_SESSIONS)
        )
    assert list(answers) == [str(n) for n in range(3 * MAX_SESSIONS)]


# -- processes that stay ----------------------------------------------------------------------------------------------


def test_a_process_is_ready_by_its_line_and_ends_by_its_group(host: Executor) -> None:
    script = "trap 'echo asked; exit 3' TERM; sleep 60 & echo up $!; wait; exit 9"
    with host.spawn(["sh", "-c", script], name="worker", ready=LogLine(r"^up \d+$", "stdout")) as process:
        child = process.lines()[0].split()[1]
        assert process.poll() is None
        assert process.returncode is None
        assert runs(host, child)
    assert process.returncode == 3
    assert process.lines()[1:] == ["asked"]
    ends(host, child)
    assert process.stop() == 3


def test_a_process_is_ready_when_it_listens(host: Executor) -> None:
    server = ["python3", "-c", "import socket; s = socket.create_server(('127.0.0.1', 4711)); s.accept()"]
    with host.spawn(server, name="server", ready=ListeningPort(4711)) as process:
        pass
    assert process.returncode == -signal.SIGTERM


def test_a_process_hears_signals_and_writes_to_two_files(host: Executor) -> None:
    script = "trap 'echo one >&2' USR1; echo up; while :; do sleep 0.02; done"
    with host.spawn(["sh", "-c", script], name="listener", ready=LogLine("up")) as process:
        process.signal(signal.SIGUSR1)
        wait_until(lambda: process.stderr.read_text() == "one\n", timeout=5, what="its answer")
        assert process.stdout.read_text() == "up\n"
        with pytest.raises(CommandTimeout, match=r"listener did not end within 0\.1 s"):
            process.wait(0.1)
        assert process.stop(sig=signal.SIGINT) == -signal.SIGINT


def test_a_process_hears_what_this_one_ignores(host: Executor) -> None:
    """As sessions do that a shell has started in the background."""
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = host.spawn(["sleep", "60"], name="sleeper")
        assert process.stop(sig=signal.SIGINT) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, heard)


def test_a_process_that_ends_by_itself_tells_its_code(host: Executor) -> None:
    assert host.spawn(["sh", "-c", "exit 5"], name="brief").wait(5) == 5
    assert host.spawn(["sh", "-c", "kill -KILL $$"], name="brief").wait(5) == -signal.SIGKILL


def test_one_that_ignores_the_request_is_killed(host: Executor) -> None:
    script = "trap '' TERM; echo up $$; while :; do sleep 0.05; done"
    process = host.spawn(["sh", "-c", script], name="deaf", ready=LogLine("up"))
    assert process.stop(timeout=0.2) == -signal.SIGKILL
    ends(host, process.lines()[0].split()[1])


def test_input_of_a_process_is_empty(host: Executor) -> None:
    process = host.spawn(["sh", "-c", "wc -c"], name="reader")
    assert process.wait(5) == 0
    assert process.lines() == ["0"]


def test_one_that_is_not_ready_leaves_its_log_and_nothing_else(host: Executor) -> None:
    with pytest.raises(EnvironmentFault, match=r"waited 0\.3 s for late to be ready: a line matching 'up'") as caught:
        host.spawn(["sh", "-c", "echo pid $$; sleep 60"], name="late", ready=LogLine("up"), ready_timeout=0.3)
    ends(host, (caught.value.evidence or "").split()[-1])
    with pytest.raises(EnvironmentFault, match="early ended with 4 before it was ready") as caught:
        host.spawn(["sh", "-c", "echo no >&2; exit 4"], name="early", ready=LogLine("up"))
    assert "no" in (caught.value.evidence or "")


def test_a_process_as_another_user_with_an_environment_of_its_own(host: Executor) -> None:
    process = host.spawn(
        ["sh", "-c", "id -un; pwd; echo $WORD"], name="other", user="nobody", cwd="/usr", env={"WORD": "x y"}
    )
    assert process.wait(5) == 0
    assert process.lines() == ["nobody", "/usr", "x y"]


def test_a_stale_log_is_no_sign_of_readiness(host: Executor) -> None:
    with host.spawn(["sh", "-c", "echo up; sleep 60"], name="again", ready=LogLine("up")):
        pass
    with pytest.raises(EnvironmentFault):
        host.spawn(["sleep", "60"], name="again", ready=LogLine("up"), ready_timeout=0.2)


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_large_file_goes_there_and_back(host: Executor, tmp_path: Path) -> None:
    source, back = tmp_path / "large", tmp_path / "below" / "back"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for number in range(FILE_MEGABYTES // (4 if slow(host) else 1)):
            file.write(number.to_bytes(4, "big") + block[4:])
    host.put(source, "files/large")
    host.get("files/large", back)
    with source.open("rb") as one, back.open("rb") as other:
        assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()
    host.run(["rm", "files/large"])


def test_a_file_keeps_its_mode_and_replaces_the_one_before(host: Executor, tmp_path: Path) -> None:
    program = tmp_path / "program"
    for word in ("one", "two"):
        program.write_text(f"#!/bin/sh\necho {word}\n")
        program.chmod(0o755)
        host.put(program, str(host.directory / "program"))
        assert host.run(["./program"]).text == word
    program.write_text("")
    host.put(program, "empty")
    host.get("empty", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_what_root_wrote_can_be_fetched(host: Executor, tmp_path: Path) -> None:
    host.run(["tee", "by-root"], stdin=b"x" * 100_000)
    host.get("by-root", tmp_path / "by-root")
    assert (tmp_path / "by-root").read_bytes() == b"x" * 100_000


def test_a_file_that_cannot_be_copied_is_told(host: Executor, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="not-there") as caught:
        host.get("not-there", tmp_path / "no")
    assert caught.value.host == HOST
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EnvironmentFault, match="not-here"):
        host.put(tmp_path / "not-here", "no")
    (tmp_path / "here").write_text("x")
    with pytest.raises(EnvironmentFault, match="/proc/no"):
        host.put(tmp_path / "here", "/proc/no/such/place")
    assert host.run(["echo", "well"]).text == "well"
