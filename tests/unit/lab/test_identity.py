from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.lab import identity

HERE: Any = SimpleNamespace(here=True, python=sys.executable)


def test_a_file_is_its_path_and_hash(tmp_path: Path) -> None:
    file = tmp_path / "box"
    file.write_bytes(b"one")
    first = identity.identify(file)
    assert first == {"path": str(file), "sha256": hashlib.sha256(b"one").hexdigest()}
    file.write_bytes(b"other")
    assert identity.identify(file)["sha256"] == hashlib.sha256(b"other").hexdigest()


def test_what_is_not_there_has_no_identity(tmp_path: Path) -> None:
    assert identity.identify(tmp_path / "none") == {}
    assert identity.program("no-such-program-at-all", HERE) == {}


def test_a_tracked_file_has_its_revision_and_says_that_it_was_changed(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        argv = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "box").write_text("1")
    git("add", "box")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    assert identity.identify(tmp_path / "box")["git"] == head
    (tmp_path / "box").write_text("22")
    assert identity.identify(tmp_path / "box")["git"] == head + "+"
    assert identity.checkout(tmp_path) == head + "+"
    (tmp_path / "built").write_text("")
    assert "git" not in identity.identify(tmp_path / "built")


def test_arguments_that_are_files_are_told(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("")
    assert list(identity.scripts(["-m", str(script), "/no/such", str(tmp_path)], HERE)) == [str(script)]


def test_a_package_is_its_folder_and_one_hash_over_all_of_it() -> None:
    told = identity.module([sys.executable, "-m", "hopscope_nic", "clientnic"], HERE)
    assert told["path"].endswith("hopscope_nic")
    assert len(told["sha256"]) == 64
    assert identity.module(["python", "-m", "hopscope_nic"], HERE) == {}
    assert identity.module([sys.executable, "-m", "this"], HERE) == {}
    assert identity.module([sys.executable, "-m", "no_such_module_at_all"], HERE) == {}


def test_of_a_package_git_is_asked_as_a_whole_and_not_for_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(identity, "_git", lambda folder, *words: asked.append(words) or "told")
    for kept in (identity._checkout, identity._identify, identity._sha256):
        kept.cache_clear()
    assert identity.package("hopscope_nic")["git"] == "told+"
    assert len(asked) == 3
    identity._checkout.cache_clear()  # what was told here is not so
