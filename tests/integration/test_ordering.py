"""The client is answered before anything from the server could have caused it, where the kernel would win the race."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt, pytest.mark.lab_topology("chain-lan.yaml")]


@pytest.mark.demo
@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_five_connections_are_all_rewritten(chain, traffic, trace, sut):
    """Round trips under a millisecond: a slow rewriter loses against the server's own answer."""
    assert chain.rtt_ns < 1_000_000
    report = traffic.connections(count=5, rate=5)
    assert report.completed == 5, report.explain()
    trace().expect(placement=sut)


@pytest.mark.parametrize("sut", ["stamp-afpacket", "hold-afpacket"])
def test_so_are_those_of_packet_sockets(traffic, trace, sut):
    """Where there is no BPF."""
    report = traffic.connections(count=5, rate=20)
    assert report.completed == 5, report.explain()
    trace().expect(placement=sut.partition("-")[0])
