"""A run directory that a stranger made: reading it touches nothing but itself, and shows nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopscope.errors import HarnessFault
from hopscope.page import read as page
from hopscope.plugin.standins import StoredWindow
from hopscope.report import digest
from hopscope.run import rundir, tape
from hopscope.run.stored import StoredRun, StoredTest
from support.stored_runs import StoredRunBuilder


def stored(directory: Path, folder: str, files: dict[str, Any]) -> StoredWindow:
    """A window that is open on ``folder``, whose end names ``files``."""
    directory.mkdir()
    notes = tape.Tape(directory)
    notes.note("open", sut=None, folder=folder)
    notes.note("end", folder=folder, files=files)
    test = StoredTest("a::b", directory, {}, {"calls": tape.seal(notes.path)})
    test.rewind()
    mine = directory.with_name("mine")
    mine.mkdir()
    window: Any = StoredWindow.__new__(StoredWindow)
    window.stored, window.directory, window._linked, window._open_folder = test, mine, set(), folder
    found: StoredWindow = window
    return found


def test_a_file_of_mine_is_not_replaced_by_a_name_in_a_stranger_s_run(tmp_path: Path) -> None:
    mine = tmp_path / "precious"
    mine.write_text("mine")
    window = stored(tmp_path / "theirs", "capture-1", {"../../precious": tape.seal(mine)})
    with pytest.raises(HarnessFault, match="no place within it"):
        window._link("capture-1")
    assert not mine.is_symlink()
    assert mine.read_text() == "mine"


def test_no_folder_is_made_outside(tmp_path: Path) -> None:
    window = stored(tmp_path / "theirs", "../outside", {})
    with pytest.raises(HarnessFault, match="no place within it"):
        window._link("../outside")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("place", ["../../secret", "/etc"])
@pytest.mark.parametrize("reads", [StoredRun, page.read, digest.digest], ids=["replay", "page", "compare"])
def test_what_lies_elsewhere_is_not_read(tmp_path: Path, place: str, reads: Any) -> None:
    run = StoredRunBuilder(tmp_path / "runs")
    test = run.test("a")
    run.add(test)
    directory = run.finish()
    manifest = json.loads((directory / rundir.MANIFEST).read_text())
    manifest["tests"][0]["directory"] = place
    rundir.write_json(directory / rundir.MANIFEST, manifest)
    with pytest.raises(HarnessFault, match="no place within it"):
        reads(directory)
