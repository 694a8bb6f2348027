from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.errors import HarnessFault, UsageError
from hopscope.run import rundir
from hopscope.run.rundir import Run


def make(root: Path, name: str, size: int = 10, pid: int | None = None) -> Path:
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(json.dumps({"pid": pid} if pid else {}))
    (directory / "data").write_bytes(b"x" * size)
    return directory


def test_create_writes_a_manifest_that_reads_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path, {"sut": "stamp"})
    run.append("tests", {"name": "a"})
    run.append("tests", {"name": "b"})
    manifest = rundir.read_manifest(run.directory)
    assert manifest is not None
    assert manifest["sut"] == "stamp"
    assert [test["name"] for test in manifest["tests"]] == ["a", "b"]
    assert manifest["pid"] == os.getpid()
    run.finish()
    finished = rundir.read_manifest(run.directory)
    assert finished is not None
    assert "pid" not in finished
    assert finished["ended_ns"] >= finished["started_ns"]


def test_a_root_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--lab-run-dir"):
        Run.create(tmp_path / "file", {})


def test_a_rerun_gets_its_own_folder(tmp_path: Path) -> None:
    run = Run.create(tmp_path, {})
    first, second = (run.test_directory("tests/integration/test_x.py::test_y[stamp-20ms]") for _ in range(2))
    assert first.name == "test_x.test_y-stamp-20ms"
    assert second.name == "test_x.test_y-stamp-20ms.2"


@given(st.text())
def test_a_slug_is_one_harmless_path_component(nodeid: str) -> None:
    name = rundir.slug(nodeid)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name) <= 80


def test_collect_keeps_the_newest(tmp_path: Path) -> None:
    old, middle, new = (make(tmp_path, name) for name in ("1", "2", "3"))
    assert rundir.collect(tmp_path, keep=2) == [old]
    assert middle.exists()
    assert new.exists()


def test_collect_bounds_the_bytes_but_spares_the_newest_and_the_living(tmp_path: Path) -> None:
    dead = make(tmp_path, "1", 1000, pid=2**22 + 1)
    living = make(tmp_path, "2", 1000, pid=os.getpid())
    newest = make(tmp_path, "3", 1000)
    assert rundir.collect(tmp_path, keep=9, max_bytes=500) == [dead]
    assert living.exists()
    assert newest.exists()


def test_a_link_to_the_latest_run_is_no_run_of_its_own(tmp_path: Path) -> None:
    old, new = make(tmp_path, "1", 1000), make(tmp_path, "2", 1000)
    (tmp_path / "latest").symlink_to("2")
    assert rundir.runs(tmp_path) == [new, old]
    assert rundir.collect(tmp_path, keep=2, max_bytes=2500) == []


def test_collect_leaves_folders_that_are_not_runs(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    make(tmp_path, "1")
    make(tmp_path, "2")
    rundir.collect(tmp_path, keep=1)
    assert (tmp_path / "mine").exists()
    assert [run.name for run in rundir.runs(tmp_path)] == ["2"]


def test_capture_folders_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("tests/a/capture-1/client-eth0.pcap", "tests/b/capture-1/server-eth0.pcapng", "tests/b/log.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    assert [folder.parent.name for folder in rundir.capture_folders(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "a\0b", None, 3])
def test_a_name_that_leads_out_of_a_run_is_refused(tmp_path: Path, name: object) -> None:
    with pytest.raises(HarnessFault, match="no place within it"):
        rundir.below(tmp_path, name)
    assert rundir.below(tmp_path, "tests/a..b") == tmp_path / "tests" / "a..b"


def test_a_run_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Captures are what was sent, passwords and all."""
    assert Run.create(tmp_path / "runs", {}).directory.stat().st_mode & 0o777 == 0o700
