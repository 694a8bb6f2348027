from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from hopscope.hosts import command
from hopscope.hosts.command import Outcome, complete

ENV = {"PATH": os.environ["PATH"]}


def kill(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)


def run(text: str, timeout: float = 10.0, stdin: bytes | None = None) -> Outcome:
    return complete(["sh", "-c", text], timeout=timeout, env=ENV, stdin=stdin, kill=kill)


def test_code_and_both_outputs() -> None:
    outcome = run("printf out; printf err >&2; exit 7")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (7, b"out", b"err")


def test_input_larger_than_a_pipe_comes_back() -> None:
    blob = os.urandom(500_000)
    assert run("cat", stdin=blob).stdout == blob


def test_input_that_nobody_reads_does_no_harm() -> None:
    assert run("exit 0", stdin=bytes(1_000_000)).returncode == 0


def test_empty_input_is_an_end_of_file() -> None:
    assert run("wc -c", stdin=b"").stdout.strip() == b"0"


def test_the_end_is_the_exit_not_the_end_of_output() -> None:
    started = time.monotonic()
    outcome = run("sleep 5 & echo $!")
    os.kill(int(outcome.stdout), signal.SIGKILL)
    assert time.monotonic() - started < 3


def test_a_grandchild_that_writes_without_end_does_not_hold_us() -> None:
    started = time.monotonic()
    outcome = run("yes & echo $! >&2; sleep 0.1")
    os.kill(int(outcome.stderr.split()[0]), signal.SIGKILL)
    assert outcome.returncode == 0
    assert time.monotonic() - started < 5


def test_at_the_deadline_it_is_killed_and_what_it_wrote_is_kept() -> None:
    outcome = run("echo so far; sleep 30", timeout=0.2)
    assert outcome.returncode is None
    assert outcome.stdout == b"so far\n"
    assert 0.2 <= outcome.seconds < 3


def test_one_that_writes_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "OUTPUT_LIMIT", 1_000_000)
    outcome = run("yes", timeout=30)
    assert outcome.returncode is None
    assert outcome.seconds < 20


def test_an_interrupt_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    killed: list[int] = []

    def spy(pid: int) -> None:
        killed.append(pid)
        kill(pid)

    monkeypatch.setattr(command, "_pump", interrupted)
    with pytest.raises(KeyboardInterrupt):
        complete(["sleep", "30"], timeout=30, env=ENV, stdin=None, kill=spy)
    assert len(killed) == 1


def test_a_missing_program_raises() -> None:
    with pytest.raises(FileNotFoundError):
        complete(["no-such-program"], timeout=1, env={"PATH": "/usr/bin:/bin"}, stdin=None, kill=kill)
