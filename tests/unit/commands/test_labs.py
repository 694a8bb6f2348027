"""Labs by hand, without a lab: names, times, and what is removed. Processes that stand in for keepers are ours."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hopscope import cli
from hopscope.commands import labs
from hopscope.lab import state, staying
from hopscope.lab.state import LabState, ProcessId

HERE = state.this_process()
GONE = replace(HERE, start=1)


@pytest.fixture
def stand_in() -> Iterator[ProcessId]:
    """A process that may be taken for a keeper, and killed."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        yield state.identify(child.pid)
        child.kill()


def leave(root: Path, name: str, *, keeper: ProcessId = HERE, owner: ProcessId = HERE, held: bool = False) -> Path:
    (root / name / "client").mkdir(parents=True)
    expires = time.time() + 3600 if held else None
    LabState(name, owner, keeper, False, {"client": 3}, {}, {"name": "chain"}, expires).write(root / name)
    return root / name


def run(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> tuple[int, str, str]:
    command, *rest = arguments
    code = cli.main(["lab", command, "--labs", str(root), *rest])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("30m", 1800), ("8h", 28800), ("1.5h", 5400), ("2d", 172800)])
def test_times_to_live(text: str, value: float) -> None:
    assert labs.seconds(text) == value


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "0s", "31d", "8 h", "1e3s", "infs"])
def test_what_is_no_time_to_live(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 30m, 8h or 2d"):
        labs.seconds(text)


def test_the_list_says_whose_each_lab_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    leave(tmp_path, "mine", held=True)
    leave(tmp_path, "tests")
    leave(tmp_path, "orphan", owner=GONE)
    leave(tmp_path, "dead", keeper=GONE)
    code, out, _ = run(capsys, tmp_path, "list", "--json")
    assert code == 0
    found = {each["name"]: each["state"] for each in json.loads(out)}
    assert found == {"mine": "up", "tests": f"session {os.getpid()}", "orphan": "owner dead", "dead": "gone"}
    _, out, _ = run(capsys, tmp_path, "list")
    assert out.splitlines()[0].split() == ["lab", "topology", "state", "SUT", "until"]
    assert run(capsys, tmp_path / "none", "list")[1] == "no lab is up\n"


def test_reaping_takes_what_dead_owners_left_and_nothing_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stand_in: ProcessId
) -> None:
    kept = [leave(tmp_path, "mine", held=True), leave(tmp_path, "tests")]
    orphan, dead = leave(tmp_path, "orphan", keeper=stand_in, owner=GONE), leave(tmp_path, "dead", keeper=GONE)
    building, abandoned, other = tmp_path / "building", tmp_path / "abandoned", tmp_path / "notes"
    for folder in (building, abandoned, other):
        folder.mkdir()
    (building / "keeper.err").touch()
    (abandoned / "keeper.err").touch()
    os.utime(abandoned / "keeper.err", (1, 1))
    code, out, _ = run(capsys, tmp_path, "reap")
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == ["abandoned", "dead", "orphan"]
    assert not stand_in.alive
    assert not any(folder.exists() for folder in (orphan, dead, abandoned))
    assert all(folder.exists() for folder in (*kept, building, other))
    assert run(capsys, tmp_path, "reap")[1] == "nothing was left\n"


def test_a_lab_of_a_session_that_runs_is_not_ended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = leave(tmp_path, "tests")
    code, _, err = run(capsys, tmp_path, "down", "tests")
    assert code == 64
    assert f"belongs to process {os.getpid()}, which runs" in err
    assert directory.exists()


def test_a_lab_whose_owner_has_gone_can_be_ended_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stand_in: ProcessId
) -> None:
    directory = leave(tmp_path, "orphan", keeper=stand_in, owner=GONE)
    assert run(capsys, tmp_path, "down", "orphan") == (0, "lab orphan has gone\n", "")
    assert not stand_in.alive
    assert not directory.exists()


@pytest.mark.parametrize(
    "arguments", [("down", "mien"), ("exec", "mien", "client", "--", "true"), ("shell", "mien", "x")]
)
def test_a_name_that_is_not_up_names_the_nearest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    leave(tmp_path, "mine", held=True)
    code, _, err = run(capsys, tmp_path, *arguments)
    assert code == 64
    assert "no lab 'mien' is up" in err
    assert "mine" in err


def test_a_command_is_printed_as_one_types_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    near = tmp_path / ".hopscope" / "labs"
    assert staying.typed("shell", near, "mine", "client") == "hopscope lab shell mine client"
    assert staying.typed("down", Path("/srv/my labs"), "mine") == "hopscope lab down --labs '/srv/my labs' mine"
    near.mkdir(parents=True)
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "deeper")
    assert staying.nearest() == near
