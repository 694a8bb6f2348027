from __future__ import annotations

import pytest

from hopscope.wire.taps import BOXES, HOPS, Position, TapHealth


def test_hops_and_boxes_make_up_the_chain() -> None:
    steps = sorted([*HOPS, *BOXES.values()])
    assert steps == [(Position(n), Position(n + 1)) for n in range(5)]
    for host, sides in BOXES.items():
        assert {side.host for side in sides} == {host}


@pytest.mark.parametrize(
    ("captured", "received", "dropped", "healthy"), [(5, 5, 0, True), (4, 5, 0, False), (5, 5, 1, False)]
)
def test_health_is_that_nothing_was_lost(captured: int, received: int, dropped: int, healthy: bool) -> None:
    assert TapHealth(captured, received, dropped, None, None).healthy is healthy
