"""A checkout comes to the revision asked for, as its owner, and what somebody has changed in it stays."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Result
from hopscope.lab import checkout
from hopscope.model.sut import Checkout

ME = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]


def git(folder: Path, *words: str) -> str:
    argv = ["git", *ME, "-C", str(folder), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


class Host:
    """Runs commands here, and remembers as whom they were to run."""

    name = "clientnic"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[tuple[list[str], str | None]] = []

    def run(self, argv: list[str], *, user: str | None = None, env: Any = None, **_: Any) -> Result:
        self.asked.append((argv, user))
        done = subprocess.run(argv, capture_output=True, timeout=20, env={**os.environ, **(env or {})})
        return Result(tuple(argv), done.returncode, done.stdout, done.stderr, 0.0)

    @property
    def fetched(self) -> int:
        return len([argv for argv, _ in self.asked if "fetch" in argv])


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


@pytest.fixture
def commit(origin: Path) -> Callable[[str], str]:
    def commit(text: str) -> str:
        (origin / "box").write_text(text)
        git(origin, "add", "box")
        git(origin, "commit", "-qm", text)
        return git(origin, "rev-parse", "HEAD")

    return commit


@pytest.fixture
def first(commit: Callable[[str], str]) -> str:
    return commit("first")


@pytest.fixture
def clone(tmp_path: Path, origin: Path, first: str) -> Path:
    git(tmp_path, "clone", "-q", str(origin), "clone")
    return tmp_path / "clone"


@pytest.fixture
def host(tmp_path: Path) -> Any:
    return Host(tmp_path / "host")


def update(host: Any, clone: Path, ref: str) -> dict[str, Any]:
    return checkout.update(host, Checkout(path=str(clone), ref=ref))


def test_a_branch_is_that_of_origin_fetched_once_as_the_owner(
    host: Any, clone: Path, first: str, commit: Callable[[str], str]
) -> None:
    second = commit("second")
    told = update(host, clone, "main")
    assert told == {
        "path": str(clone), "ref": "main", "owner": getpass.getuser(), "revision": second, "before": first,
    }  # fmt: skip
    assert (clone / "box").read_text() == "second"
    commit("third")
    assert update(host, clone, "main")["revision"] == second, "the program stays the same for the session"
    assert host.fetched == 1
    assert {user for argv, user in host.asked if argv[0] == "git"} == {getpass.getuser()}


@pytest.mark.parametrize("named", ["hash", "short", "tag"])
def test_what_is_there_already_needs_no_network(
    host: Any, clone: Path, first: str, commit: Callable[[str], str], named: str
) -> None:
    git(clone, "tag", "v1")
    ref = {"hash": first, "short": first[:10], "tag": "v1"}[named]
    git(clone, "remote", "remove", "origin")
    assert update(host, clone, ref)["revision"] == first
    assert host.fetched == 0


def test_a_hash_that_only_origin_has_is_fetched(host: Any, clone: Path, commit: Callable[[str], str]) -> None:
    second = commit("second")
    assert update(host, clone, second)["revision"] == second


def test_what_was_not_committed_is_not_touched(host: Any, clone: Path, commit: Callable[[str], str]) -> None:
    commit("second")
    (clone / "box").write_text("mine")
    with pytest.raises(EnvironmentFault, match="has changes that are not committed") as caught:
        update(host, clone, "main")
    assert "box" in (caught.value.evidence or "")
    assert (clone / "box").read_text() == "mine"


def test_no_checkout_and_no_such_ref_are_told(host: Any, clone: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="is no git checkout"):
        update(host, tmp_path / "none", "main")
    with pytest.raises(EnvironmentFault, match="has no nowhere, and its origin has none either"):
        update(host, clone, "nowhere")
    git(clone, "remote", "set-url", "origin", str(tmp_path / "gone"))
    with pytest.raises(EnvironmentFault, match="fetch --quiet --tags origin` as") as caught:
        update(host, clone, "main")
    assert "gone" in (caught.value.evidence or "")


@pytest.mark.parametrize("given", [{"path": "here", "ref": "main"}, {"path": "/x", "ref": "--exec"}])
def test_a_path_and_a_ref_are_no_options(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Checkout(**given)
