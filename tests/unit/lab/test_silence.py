"""Quiet is when nothing has moved for as long as was asked, on the ports that were named and no others."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope.lab import silence


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> list[Iterator[list[str]]]:
    """Counters that are told one after the other, in place of the machine's."""
    told: list[Iterator[list[str]]] = []
    monkeypatch.setattr(silence, "packets", lambda ports: next(told[0]))
    return told


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (itertools.repeat(["1", "2"]), 0),
        (itertools.chain((["0", str(n)] for n in range(5)), itertools.repeat(["0", "5"])), 0),
        ((["0", str(n)] for n in itertools.count()), 1),
    ],
    ids=["quiet", "quiet after a while", "never"],
)
def test_how_it_ends(
    counters: list[Iterator[list[str]]], monkeypatch: pytest.MonkeyPatch, seen: Iterator[list[str]], code: int
) -> None:
    counters.append(seen)
    monkeypatch.setattr(sys, "argv", ["silence.py", "0.06", "0.5", "eth0"])
    assert silence.main() == code


def test_only_the_named_ports_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dev"
    file.write_text(
        "Inter-|   Receive\n face |bytes packets\n"
        "    lo: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n  eth0:30 3 0 0 0 0 0 0 40 4 0 0 0 0 0 0\n"
    )
    opened = open
    monkeypatch.setattr("builtins.open", lambda path, *more: opened(file if path == "/proc/net/dev" else path, *more))
    assert silence.packets(["eth0"]) == ["3", "4"]
