"""A rewriter that answers early saves what it says, measured against plain TCP on the same chain."""

from __future__ import annotations

import pytest

from hopscope.checks.budget import Budget

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt, pytest.mark.budget]

BOTH = pytest.mark.lab_topology("chain.yaml", "chain-100ms.yaml")


#: What two boxes in user space may cost a first byte, beside 5 % of the round trip. On two processors that everything
#: shares it is 0.7 to 1.2 ms, most of it the waking of processes (docs/measurements.md): too much for 5 % of 20 ms.
BOXES_NS = 1_600_000


@pytest.mark.demo
@BOTH
def test_stamp_saves_a_round_trip(compare):
    pairs = compare(baseline="kernel", sut="stamp", count=500, rate=200)
    assert pairs.completed == pairs.asked
    pairs.expect(
        Budget("ttfb", quantile=0.5, saves="1 rtt", tolerance=max(0.05, BOXES_NS / pairs.rtt_ns)),
        Budget("send_unlock", quantile=0.5, limit_ms=1.0),
    )
    pairs.part("stamp").expect(placement="stamp")
    pairs.part("kernel").expect(placement="plain")


@pytest.mark.demo
def test_hold_frees_the_client_and_costs_nothing(compare):
    _hold_frees_the_client(compare)


@pytest.mark.nightly
@pytest.mark.lab_topology("chain-100ms.yaml")
def test_hold_frees_the_client_of_a_long_way(compare):
    _hold_frees_the_client(compare)


def _hold_frees_the_client(compare):
    pairs = compare(baseline="kernel", sut="hold", count=500, rate=200)
    assert pairs.completed == pairs.asked
    pairs.expect(
        Budget("ttfb", quantile=0.5, ratio=1.0, tolerance=0.05),
        Budget("send_unlock", quantile=0.5, limit_ms=1.0),
    )
    pairs.part("hold").expect(placement="hold")
    pairs.part("kernel").expect(placement="plain")
