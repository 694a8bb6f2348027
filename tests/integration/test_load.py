"""Translation holds under load: many at once, many a second, and bulk in both directions."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

PLACEMENTS = pytest.mark.parametrize("sut", ["stamp", "hold"])


@PLACEMENTS
@pytest.mark.lab_topology("chain-100ms.yaml")
def test_two_hundred_at_once(traffic, trace, sut):
    """The last of them waits for all the others: about 20 ms here, which a round trip of 20 ms would not forgive."""
    report = traffic.connections(count=200, rate=None)
    assert report.completed == 200, report.failed()[:5]
    trace().expect(placement=sut)


@PLACEMENTS
def test_two_thousand_at_two_hundred_a_second(traffic, trace, sut):
    report = traffic.connections(count=2000, rate=200)
    assert report.completed == 2000, report.failed()[:5]
    trace().expect(placement=sut)


@PLACEMENTS
def test_requests_and_responses_larger_than_a_window(traffic, trace, sut):
    report = traffic.connections(count=10, rate=5, request=300_000, response=500_000, rounds=2)
    assert report.completed == 10, report.failed()[:5]
    trace().expect(placement=sut)


@PLACEMENTS
@pytest.mark.parametrize("reverse", [False, True], ids=["upload", "download"])
def test_bulk(traffic, trace, sut, reverse):
    """Ten seconds of one stream at a rate that six full captures can follow; nothing is reset, no checksum is bad."""
    report = traffic.iperf3(seconds=10, reverse=reverse, cc="cubic", bitrate="60M")
    assert report.bytes > 30_000_000
    trace().expect(placement=sut)
