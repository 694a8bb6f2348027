"""The executor of a namespace host: one suite of what every executor has to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import CommandFailed, CommandTimeout, EnvironmentFault, ToolMissing
from hopscope.hosts.executor import Executor
from hopscope.hosts.ready import ListeningPort, LogLine
from hopscope.lab.wait import wait_until
from hopscope.providers.netns import NetnsProvider

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with NetnsProvider().acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs")) as lab:
        yield lab.hosts["client"]


def script(text: str) -> list[str]:
    return ["sh", "-c", text]


def processes(host: Executor, mark: str) -> list[str]:
    listed = host.run(["ps", "-eo", "pid,args"]).text.splitlines()
    return [line for line in listed if mark in line]


def test_a_command_tells_all_it_wrote(host: Executor) -> None:
    result = host.run(script("printf 'out\\n'; printf 'err\\n' >&2"))
    assert (result.returncode, result.stdout, result.stderr, result.text) == (0, b"out\n", b"err\n", "out")
    assert 0 < result.seconds < 5


def test_output_is_bytes_and_any_amount(host: Executor) -> None:
    blob = bytes(range(256)) * 40_000
    (host.directory / "blob").write_bytes(blob)
    result = host.run(["cat", "blob", "-"], stdin=blob)
    assert result.stdout == blob + blob


def test_both_streams_are_drained_together(host: Executor) -> None:
    result = host.run(script("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero"))
    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 3_000_000)


def test_a_failing_command_raises_with_its_evidence(host: Executor) -> None:
    with pytest.raises(CommandFailed) as caught:
        host.run(script("echo because >&2; exit 3"))
    assert caught.value.host == "client"
    assert "because" in str(caught.value)
    assert host.run(script("exit 3"), check=False).returncode == 3


def test_death_by_signal_is_a_negative_code(host: Executor) -> None:
    assert host.run(script("kill -9 $$"), check=False).returncode == -signal.SIGKILL
    assert host.run(script("kill -USR1 $$"), check=False).returncode == -signal.SIGUSR1


def test_a_missing_program_is_named(host: Executor) -> None:
    with pytest.raises(ToolMissing, match="no-such-program"):
        host.run(["no-such-program"])
    with pytest.raises(ToolMissing):
        host.run(["/nowhere/program"])


def test_a_timeout_kills_the_whole_group(host: Executor) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout) as caught:
        host.run(script("echo started; sleep 4321 & trap '' TERM; sleep 4321"), timeout=0.3)
    assert time.monotonic() - started < 3
    assert "started" in str(caught.value)
    wait_until(lambda: not processes(host, "sleep 4321"), timeout=2, what="the group to go")


def test_a_background_child_that_keeps_the_pipes_does_not_hang(host: Executor) -> None:
    started = time.monotonic()
    result = host.run(script("sleep 1234 & echo done"), timeout=20)
    assert result.text == "done"
    assert time.monotonic() - started < 3
    assert processes(host, "sleep 1234"), "it goes with the lab, not before"


def test_the_environment_is_small_and_ours(host: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HARNESS", "1")
    lines = host.run(["env"], env={"MINE": "yes"}).text.splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert names <= {"PATH", "LANG", "HOME", "MINE", "PWD", "SHLVL", "_"}
    assert "MINE=yes" in lines
    assert f"HOME={host.directory}" in lines


def test_commands_run_in_the_hosts_own_directory(host: Executor) -> None:
    assert host.run(["pwd"]).text == str(host.directory)
    (host.directory / "below").mkdir()
    assert host.run(["pwd"], cwd="below").text == str(host.directory / "below")
    assert host.run(["pwd"], cwd="/tmp").text == "/tmp"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become someone else")
def test_another_user(host: Executor) -> None:
    assert host.run(["id", "-un"], user="nobody", cwd="/").text == "nobody"
    with pytest.raises(EnvironmentFault, match="no user"):
        host.run(["true"], user="nobody-of-this-name")


def test_it_sees_the_processes_of_the_lab_only(host: Executor) -> None:
    listed = host.run(["ps", "-eo", "pid,args"]).text.splitlines()
    assert "keeper.py" in next(line for line in listed if line.split()[0] == "1")
    assert len(listed) < 10
    assert Path(f"/proc/{os.getpid()}").exists()


def test_files_go_and_come_back(host: Executor, tmp_path: Path) -> None:
    (tmp_path / "tool.sh").write_text("#!/bin/sh\necho from the tool\n")
    (tmp_path / "tool.sh").chmod(0o755)
    host.put(tmp_path / "tool.sh", "bin/tool.sh")
    assert host.run(["./bin/tool.sh"]).text == "from the tool"
    host.get("bin/tool.sh", tmp_path / "back" / "tool.sh")
    assert (tmp_path / "back" / "tool.sh").read_bytes() == (tmp_path / "tool.sh").read_bytes()


def test_a_process_is_ready_by_its_log(host: Executor) -> None:
    ready = LogLine("^ready$", "stdout")
    with host.spawn(script("sleep 0.2; echo ready; exec sleep 60"), name="logs", ready=ready) as process:
        assert process.lines() == ["ready"]
        assert process.poll() is None
        assert os.readlink(f"/proc/{process.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    assert process.returncode == -signal.SIGTERM
    assert process.stop() == -signal.SIGTERM


def test_a_process_is_ready_by_its_port(host: Executor) -> None:
    with host.spawn(["iperf3", "-s", "-p", "5999"], name="port", ready=ListeningPort(5999)) as process:
        assert process.poll() is None


def test_a_process_that_dies_before_it_is_ready_shows_its_log(host: Executor) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        host.spawn(script("echo cannot bind >&2; exit 9"), name="dies", ready=LogLine("ready"))
    assert "ended with 9" in str(caught.value)
    assert "cannot bind" in str(caught.value)


def test_a_process_that_never_gets_ready_is_ended(host: Executor) -> None:
    with pytest.raises(EnvironmentFault, match="a line matching 'ready'"):
        host.spawn(script("exec sleep 7654"), name="late", ready=LogLine("ready"), ready_timeout=0.3)
    assert not processes(host, "sleep 7654")


def test_signals_reach_the_process_itself(host: Executor) -> None:
    command = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.02; done"
    with host.spawn(script(command), name="traps", ready=LogLine("ready")) as process:
        process.signal(signal.SIGUSR1)
        wait_until(lambda: "got it" in process.lines(), timeout=5, what="the trap")


def test_one_that_ignores_term_is_killed_with_its_children(host: Executor) -> None:
    command = "trap '' TERM; echo ready; sleep 8765 & sleep 8765"
    process = host.spawn(script(command), name="stubborn", ready=LogLine("ready"))
    started = time.monotonic()
    assert process.stop(timeout=0.3) == -signal.SIGKILL
    assert time.monotonic() - started < 3
    wait_until(lambda: not processes(host, "sleep 8765"), timeout=2, what="the group to go")


def test_logs_go_where_they_are_wanted(host: Executor, tmp_path: Path) -> None:
    process = host.spawn(script("echo here"), name="told", directory=tmp_path / "run")
    assert process.wait(5) == 0
    assert (tmp_path / "run" / "told.out").read_text() == "here\n"


def test_waiting_for_one_that_runs_on(host: Executor) -> None:
    with (
        host.spawn(["sleep", "60"], name="waits") as process,
        pytest.raises(CommandTimeout, match="waits did not end"),
    ):
        process.wait(0.1)
