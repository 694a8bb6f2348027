from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopscope import cli
from hopscope.run import phase
from hopscope.run.rundir import Run


def made(root: Path, name: str, **manifest: object) -> Path:
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"schema": 1, "started_ns": 10**18, **manifest}))
    return directory


def test_runs_are_listed_newest_first_with_what_became_of_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made(tmp_path, "20260101T000000-a", ended_ns=1, tests=[{}, {}])
    phase.enter(made(tmp_path, "20260102T000000-b", pid=2**22 + 1), phase.Phase.LOADING)
    now = Run.create(tmp_path, {})
    assert cli.main(["runs", "list", "--runs", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [fact["run"] for fact in facts] == sorted((fact["run"] for fact in facts), reverse=True)
    found = {fact["run"]: (fact["alive"], fact["ended"], fact["tests"]) for fact in facts}
    assert found[now.directory.name] == (True, False, 0)
    assert found["20260101T000000-a"] == (False, True, 2)
    assert found["20260102T000000-b"] == (False, False, 0)
    cli.main(["runs", "list", "--runs", str(tmp_path)])
    states = [" ".join(line.split()[3:-3]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert states == ["going on", "killed while loading", "ended"]


def test_room_is_made_and_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for day in (1, 2, 3):
        made(tmp_path, f"2026010{day}T000000-x")
    assert cli.main(["runs", "gc", "--runs", str(tmp_path), "--keep", "1"]) == 0
    assert capsys.readouterr().out.split() == ["removed", "20260102T000000-x", "removed", "20260101T000000-x"]
    assert [path.name for path in tmp_path.iterdir()] == ["20260103T000000-x"]
    assert cli.main(["runs", "gc", "--runs", str(tmp_path), "--keep", "-1"]) == 64


def test_no_runs_are_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["runs", "list", "--runs", str(tmp_path / "none")]) == 0
    assert "no runs" in capsys.readouterr().out
    assert cli.main(["runs", "gc", "--runs", str(tmp_path / "none")]) == 0


def test_runs_of_workers_say_whose_they_are(tmp_path: Path) -> None:
    assert Run.create(tmp_path, {}, worker="gw1").directory.name.endswith("-gw1")
