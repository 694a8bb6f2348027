from __future__ import annotations

import pytest

from hopscope.checks.live import owned
from support.golden import START_NS, Recipe

MS = 1_000_000


def told(*events):
    def change(chain):
        chain.sidecar["sut"] = [
            {"event": f"sut_{kind}", "placement": placement, "time_ns": START_NS + at * MS}
            for kind, placement, at in events
        ]

    return change


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((("started", "stamp", -1), ("stopped", "stamp", 100)), [True, True, True]),
        ((("started", "stamp", 3), ("stopped", "stamp", 7)), [False, True, False]),
        ((("started", "hold", 3),), [False, True, True]),
        ((("started", "none", -1), ("stopped", "none", 100)), [False, False, False]),
        ((("started", "none", -1), ("started", "hold", 8)), [False, False, True]),
    ],
)
def test_flows_that_began_under_a_system(events, expected, load):
    assert owned(load(Recipe("plain"), told(*events))).tolist() == expected


def test_nothing_told(load):
    assert owned(load(Recipe("plain"))) is None


def test_clocks_that_differ_tell_nothing(load):
    assert owned(load(Recipe("plain", offsets_ns=(0, 5, 0, 0)), told(("started", "stamp", -1)))) is None
