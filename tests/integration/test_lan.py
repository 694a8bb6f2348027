"""Round trips under a millisecond: where a slow rewriter loses the race against the kernel."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt, pytest.mark.lab_topology("chain-lan.yaml")]


@pytest.mark.demo
@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_five_connections_are_all_rewritten(chain, traffic, trace, sut):
    assert chain.rtt_ns < 1_000_000
    report = traffic.connections(count=5, rate=5)
    assert report.completed == 5
    trace().expect(placement=sut)
