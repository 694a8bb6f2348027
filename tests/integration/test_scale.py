"""A hundred thousand connections: every one rewritten, none lost, and all of them judged."""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt, pytest.mark.budget, pytest.mark.nightly]

COUNT = int(os.environ.get("HOPSCOPE_SCALE", "100000"))
RATE = float(os.environ.get("HOPSCOPE_RATE", "2000"))


@pytest.mark.parametrize("sut", ["stamp"])
@pytest.mark.lab_topology("chain-100ms.yaml")
def test_a_hundred_thousand_connections(traffic, trace, sut):
    report = traffic.connections(count=COUNT, rate=RATE, timeout=20)
    assert report.completed == COUNT, report.explain()
    trace().expect(placement=sut)
