"""What is left of a lab is found, whoever keeps it. On a real lab: test_reliability."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.lab import footprint
from hopscope.lab.footprint import Footprint

NOTHING: frozenset[str] = frozenset()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "GRACE_S", 0.05)


def test_nothing_is_left_of_what_has_gone(tmp_path: Path) -> None:
    assert Footprint(frozenset({"net:[1]"}), frozenset({"absent0"}), tmp_path / "gone").left() == []


def test_a_directory_that_stays_is_told(tmp_path: Path) -> None:
    assert Footprint(NOTHING, NOTHING, tmp_path).left() == [f"directory {tmp_path}"]


def test_a_link_that_came_to_this_machine_is_told(tmp_path: Path) -> None:
    assert Footprint(NOTHING, frozenset({"lo"}), tmp_path / "gone").left() == ["link lo on this machine"]


@pytest.mark.parametrize("kind", ["net", "pid"])
def test_a_process_in_a_namespace_is_told(tmp_path: Path, kind: str) -> None:
    ours = os.readlink(f"/proc/self/ns/{kind}")
    left = Footprint(frozenset({ours}), NOTHING, tmp_path / "gone").left()
    assert any(line.startswith(f"process {os.getpid()} (") and line.endswith(f" has {ours}") for line in left)


def test_who_only_holds_a_namespace_by_a_descriptor_is_told(tmp_path: Path) -> None:
    """It is not in it: a namespace of a kind that is not looked at stands for one that is."""
    held = os.open("/proc/self/ns/uts", os.O_RDONLY)
    try:
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[held]) as holder:
            name = os.readlink(f"/proc/self/fd/{held}")
            left = Footprint(frozenset({name}), NOTHING, tmp_path / "gone").left()
            assert f"process {holder.pid} (cat) has {name}" in left
            holder.communicate()
    finally:
        os.close(held)


def test_hosts_that_were_found_are_not_ours_to_miss() -> None:
    lab: Any = SimpleNamespace(life_line=None)
    assert footprint.of(lab) is None


def test_what_this_process_is_in_itself_is_no_part_of_a_lab(tmp_path: Path) -> None:
    lab: Any = SimpleNamespace(
        life_line=SimpleNamespace(pid=os.getpid()),
        topology=SimpleNamespace(ports=[SimpleNamespace(name="lo"), SimpleNamespace(name="absent0")]),
        directory=tmp_path,
    )
    assert footprint.of(lab) == Footprint(NOTHING, frozenset({"absent0"}), tmp_path)
