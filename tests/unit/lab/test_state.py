from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope.lab import state
from hopscope.lab.state import LabState, ProcessId


def made(name: str, keeper: ProcessId | None = None, owner: ProcessId | None = None) -> LabState:
    here = state.this_process()
    return LabState(name, owner or here, keeper or here, False, {"client": 3}, {"a--b": "veth"}, {"name": "chain"})


def gone() -> ProcessId:
    return replace(state.this_process(), start=1)


def test_a_process_is_its_number_and_its_start() -> None:
    here = state.this_process()
    assert here.pid == os.getpid()
    assert here.alive
    assert not gone().alive, "the same number, another process"


def test_a_process_that_has_ended_is_not_alive_even_as_a_zombie() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        known = state.identify(child.pid)
        assert known.alive
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not known.alive
    assert not known.alive
    with pytest.raises(ProcessLookupError):
        state.identify(child.pid)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made("one").write(tmp_path)
    assert state.read(tmp_path) == made("one")
    assert [path.name for path in tmp_path.iterdir()] == [state.FILE]


@pytest.mark.parametrize("text", ["", "{", "{}", '{"name": "x"}', "[]", '{"owner": 1, "keeper": 2}'])
def test_damaged_state_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / state.FILE).write_text(text)
    assert state.read(tmp_path) is None


def test_sweeping_takes_the_dead_and_nothing_else(tmp_path: Path) -> None:
    for name, lab in (("alive", made("alive")), ("dead", made("dead", keeper=gone()))):
        (tmp_path / name / "client").mkdir(parents=True)
        lab.write(tmp_path / name)
    (tmp_path / "being-built").mkdir()
    (tmp_path / "a-file").touch()
    assert state.sweep(tmp_path) == [tmp_path / "dead"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "alive", "being-built"]
    assert state.sweep(tmp_path / "nowhere") == []
