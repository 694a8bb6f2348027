"""The rates of a comparison: what was asked for is what the baseline really got."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.plugin.comparison import _check_rates


def blocks(started: float, established: float, *, failed: int = 0) -> list[Any]:
    """Ten blocks, one of them far off: single blocks are too short to tell."""
    block = SimpleNamespace(started_rate=started, established_rate=established, failed=lambda: failed)
    return [*[block] * 9, SimpleNamespace(started_rate=3.0, established_rate=3.0, failed=lambda: 0)]


def test_rates_within_five_per_cent_are_the_rate() -> None:
    _check_rates({"kernel": blocks(96, 104), "mine": blocks(104, 96)}, 100, "kernel")


def test_connections_that_the_sut_failed_are_not_the_environments_fault() -> None:
    _check_rates({"kernel": blocks(100, 100), "mine": blocks(100, 50, failed=20)}, 100, "kernel")


@pytest.mark.parametrize(
    ("kernel", "mine", "says"),
    [
        (blocks(90, 100), blocks(100, 100), "90.0 connections per second were started of 100 asked for, with kernel"),
        (blocks(100, 100), blocks(106, 100), "106.0 connections per second were started of 100 asked for, with mine"),
        (blocks(100, 80, failed=5), blocks(100, 100), "80.0 connections per second were established .* with kernel"),
        (blocks(100, 100), blocks(100, 80), "80.0 connections per second were established of 100 asked .* with mine"),
        (blocks(100, 100), blocks(90, 50, failed=9), "90.0 connections per second were started .* with mine"),
    ],
)
def test_a_rate_that_was_missed_is_named_with_its_system(kernel: list[Any], mine: list[Any], says: str) -> None:
    with pytest.raises(EnvironmentFault, match=says) as caught:
        _check_rates({"kernel": kernel, "mine": mine}, 100, "kernel")
    assert str(caught.value.evidence).startswith("blocks: ")
