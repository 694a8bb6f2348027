"""The rates of a comparison: what was asked for is what the baseline really got."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault, HarnessFault
from hopscope.plugin.comparison import ALTERNATIONS, _check_rates, compare


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


class Path:
    """A window and its traffic, as far as a comparison asks them: what was on the path at each load."""

    directory = capture_directory = None

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.running: str | None = None
        self.loads: list[str | None] = []
        self.chain = SimpleNamespace(rtt_ns=1)

    def start_sut(self, name: str) -> None:
        assert self.running is None, "the one before it must have been stopped"
        self.running = name
        self.calls.append(name)

    def stop_sut(self) -> None:
        self.running = None

    def moment(self) -> int:
        return 0

    def settle(self) -> None:
        assert self.running, "what ran is still there while its load ends"

    def connections(self, **asked: Any) -> Any:
        self.loads.append(self.running)
        return SimpleNamespace(completed=25, started_rate=100.0, established_rate=100.0, failed=lambda: 0)

    def close(self) -> None:
        assert self.running is None


def test_blocks_alternate_and_what_runs_already_is_not_started_again() -> None:
    path = Path()
    with pytest.raises(HarnessFault, match="judged from captures"):
        compare(path, path, baseline="kernel", sut="mine", count=250, rate=100)  # type: ignore[arg-type]
    assert path.loads == ["kernel", "mine", "mine", "kernel"] * (ALTERNATIONS // 2)
    assert path.calls == ["kernel", *["mine", "kernel"] * (ALTERNATIONS // 2)]
