"""Which copy of a segment is which, where some got lost. Times are in units of a link's delay of 10."""

from __future__ import annotations

import pytest

from hopscope.report.segments import Seen, _over
from hopscope.wire.taps import HOPS


def seen(*times):
    hop = HOPS[1]
    return [Seen(time, (1,), "SYN", False, hop[0], at, 2, 0, 0, 0, 0, 0) for at, time in enumerate(times)]


@pytest.mark.parametrize(
    ("left", "arrived", "pairs"),
    [
        ([0, 100], [10, 110], [(0, 10), (100, 110)]),
        ([0, 100], [110], [(0, None), (100, 110)]),
        ([0, 100], [10], [(0, 10), (100, None)]),
        ([0, 1, 100], [10, 11], [(0, 10), (1, 11), (100, None)]),
        ([0, 1, 100], [10, 110], [(0, None), (1, 10), (100, 110)]),
        ([0], [10, 12], [(None, 10), (0, 12)]),
        ([], [10], [(None, 10)]),
        ([5, 6], [0], [(5, 0), (6, None)]),  # clocks that are not quite aligned
    ],
)
def test_each_copy_that_arrived_is_the_last_that_can_be_it(left, arrived, pairs):
    rows = _over(HOPS[1], True, seen(*left), seen(*arrived))
    found = [(row.left and row.left.time, row.arrived and row.arrived.time) for row in rows]
    assert sorted(found, key=str) == sorted(pairs, key=str)
