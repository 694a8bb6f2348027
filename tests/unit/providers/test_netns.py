from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.lab import state
from hopscope.lab.state import LabState
from hopscope.providers import netns
from hopscope.providers.netns import NetnsProvider
from hopscope.providers.registry import PROVIDERS, provider

CHAIN = data.topology("chain")


@pytest.fixture
def assembled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(netns, "assemble", lambda *given, **named: calls.append((*given, named)))
    return calls


def leave(root: Path, name: str, *, keeper_alive: bool, owner_alive: bool) -> None:
    here = state.this_process()
    gone = replace(here, start=1)
    (root / name).mkdir(parents=True)
    keeper, owner = (here if keeper_alive else gone), (here if owner_alive else gone)
    LabState(name, owner, keeper, False, {}, {}, {}).write(root / name)


def test_a_name_is_made_and_the_directory_is_below_what_was_given(
    tmp_path: Path, assembled: list[tuple[Any, ...]]
) -> None:
    NetnsProvider().acquire(CHAIN, directory=tmp_path)
    topology, directory, name, named = assembled[0]
    assert topology is CHAIN
    assert name.startswith(f"chain-{os.getpid()}-")
    assert directory == tmp_path / name
    assert named == {"offloads": False, "mechanism": None}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "white space"])
def test_a_name_is_a_plain_file_name(tmp_path: Path, assembled: list[tuple[Any, ...]], name: str) -> None:
    with pytest.raises(UsageError, match="no name for a lab"):
        NetnsProvider().acquire(CHAIN, directory=tmp_path, name=name)
    assert assembled == []


def test_what_the_dead_left_is_swept_before_a_lab_is_made(tmp_path: Path, assembled: list[tuple[Any, ...]]) -> None:
    leave(tmp_path, "dead", keeper_alive=False, owner_alive=False)
    NetnsProvider().acquire(CHAIN, directory=tmp_path, name="next")
    assert list(tmp_path.iterdir()) == []


def test_a_leak_is_a_keeper_whose_owner_has_gone(tmp_path: Path) -> None:
    leave(tmp_path, "held", keeper_alive=True, owner_alive=True)
    leave(tmp_path, "orphan", keeper_alive=True, owner_alive=False)
    leave(tmp_path, "dead", keeper_alive=False, owner_alive=False)
    (leak,) = NetnsProvider(roots=(tmp_path,)).leaks()
    assert leak.startswith("lab orphan: keeper")
    assert not (tmp_path / "dead").exists()


def test_providers_by_name() -> None:
    assert isinstance(provider("netns"), NetnsProvider)
    with pytest.raises(UsageError, match="there are: aws, inventory, netns"):
        provider("netnss")
    assert list(PROVIDERS) == sorted(PROVIDERS)
