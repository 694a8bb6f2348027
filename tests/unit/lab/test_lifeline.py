"""The conversation with a keeper, played by small scripts: no namespaces here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hopscope.errors import LabFailed
from hopscope.lab import lifeline
from hopscope.lab.lifeline import Lifeline, builder_command
from hopscope.lab.wait import wait_until

WELL = """
import json, os, sys
print(json.dumps({"keeper": os.getpid(), "own_user_namespace": False}), flush=True)
for line in sys.stdin:
    print(json.dumps({"echo": json.loads(line)}), flush=True)
"""


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Lifeline]:
    monkeypatch.setattr(lifeline, "PROGRAMS", tmp_path)

    def start(text: str) -> Lifeline:
        (tmp_path / "keeper.py").write_text(text)
        return Lifeline(tmp_path / "keeper.err")

    return start


def test_it_talks_and_goes_with_our_end(keeper: Callable[[str], Lifeline]) -> None:
    line = keeper(WELL)
    line.tell({"namespaces": ["a"]})
    assert line.hear("echo") == {"echo": {"namespaces": ["a"]}}
    line.close()
    assert not Path(f"/proc/{line.pid}").exists()
    line.close()


def test_a_long_message_arrives_whole(keeper: Callable[[str], Lifeline]) -> None:
    line = keeper(WELL)
    line.tell({"text": "x" * 300_000})
    assert len(line.hear("echo")["echo"]["text"]) == 300_000
    line.close()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('print(\'{"error": "unshare: Operation not permitted"}\')', "unshare: Operation not permitted"),
        ("print('hello')", "the keeper said b'hello'"),
        ("print('{\"other\": 1}')", "not keeper"),
        ("import sys; sys.stderr.write('because of this')", "ended before the lab was up"),
    ],
)
def test_what_is_no_answer_is_a_failed_lab(keeper: Callable[[str], Lifeline], text: str, problem: str) -> None:
    with pytest.raises(LabFailed, match=problem):
        keeper(text)


def test_the_keepers_log_is_evidence(keeper: Callable[[str], Lifeline]) -> None:
    with pytest.raises(LabFailed, match="because of this"):
        keeper("import sys; sys.stderr.write('because of this')")


def test_silence_has_a_deadline(keeper: Callable[[str], Lifeline]) -> None:
    line = keeper(WELL)
    with pytest.raises(LabFailed, match="did not answer in time"):
        line.hear("echo", timeout=0.05)
    line.close()


def test_a_keeper_that_has_gone_cannot_be_told(keeper: Callable[[str], Lifeline]) -> None:
    line = keeper("import json, os; print(json.dumps({'keeper': os.getpid(), 'own_user_namespace': True}), flush=True)")
    wait_until(lambda: not lifeline_alive(line.pid), timeout=5, what="the keeper to end")
    with pytest.raises(LabFailed, match="has gone"):
        line.tell({"x": "y" * 100_000})
    line.close()


def lifeline_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_keeper_that_hangs_is_killed_and_told(keeper: Callable[[str], Lifeline]) -> None:
    line = keeper(WELL)
    os.kill(line.pid, signal.SIGSTOP)
    with pytest.raises(LabFailed, match="was killed"):
        line.close(timeout=0.1)
    assert not Path(f"/proc/{line.pid}").exists()


def test_a_forked_child_lets_go_of_it(keeper: Callable[[str], Lifeline]) -> None:
    """Forked without exec, as multiprocessing does: such a child must not keep the lab alive."""
    line = keeper(WELL)
    release, hold = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold)
        os.read(release, 1)
        os._exit(0)
    try:
        line.close(timeout=5)
        assert not Path(f"/proc/{line.pid}").exists()
    finally:
        os.close(hold)
        os.close(release)
        os.waitpid(child, 0)


def test_the_builder_is_told_where_its_library_is() -> None:
    command = builder_command()
    assert command[1:3] == ["-I", "-S"]
    assert (Path(command[-1]) / "pyroute2").is_dir()
