"""Translation holds under load: bulk in both directions, many streams, segments that are lost or come out of order."""

from __future__ import annotations

import pytest

from hopscope.checks.capture_health import capture_health
from hopscope.checks.carried_by import carried_by
from hopscope.checks.checksums import checksums
from hopscope.checks.delivery import delivery
from hopscope.checks.teardown import teardown
from hopscope.checks.translation import translation
from hopscope.model.topology import Impairment

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

PLACEMENTS = pytest.mark.parametrize("sut", ["stamp", "hold"])


@PLACEMENTS
def test_requests_and_responses_larger_than_a_window(traffic, trace, sut):
    report = traffic.connections(count=10, rate=5, request=300_000, response=500_000, rounds=2)
    assert report.completed == 10, report.explain()
    trace().expect(placement=sut)


@PLACEMENTS
@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.nightly)])
def test_bulk_each_way(traffic, trace, sut, seconds):
    """One stream at a rate that six full captures can follow; nothing is reset, no checksum is bad."""
    for reverse in (False, True):
        report = traffic.iperf3(seconds=seconds, reverse=reverse, cc="cubic", bitrate="60M")
        assert report.bytes > seconds * 3_000_000
    trace().expect(placement=sut)


@PLACEMENTS
def test_sixty_four_streams_each_way(traffic, trace, sut):
    """64 flows that all speak at the same time; 0.5 Mbit/s each, so that captures can follow."""
    for reverse in (False, True):
        report = traffic.iperf3(seconds=1, reverse=reverse, cc="cubic", bitrate="500K", streams=64)
        assert report.bytes > 2_000_000
    judged = trace()
    assert len(judged.trace) == 2 * (64 + 1), "the streams and the control connection, each way"
    judged.expect(placement=sut)


@PLACEMENTS
@pytest.mark.parametrize(
    "impairment",
    [
        Impairment(rtt_ms=20, loss=0.03, reorder=0.1, reorder_ms=3),
        pytest.param(Impairment(rtt_ms=20, loss=0.03), marks=pytest.mark.nightly),
        pytest.param(Impairment(rtt_ms=20, reorder=0.1, reorder_ms=3), marks=pytest.mark.nightly),
    ],
    ids=["both", "loss", "reordering"],
)
def test_segments_that_are_lost_or_late_keep_their_numbers(chain, traffic, trace, sut, impairment):
    """SACK edges and retransmissions cross the boxes as well: what comes is whole, and tshark counts the same."""
    link = chain.topology.wan.name
    before = chain.lab.link_counters(link)
    with chain.lab.applied(chain.lab.impairment(link, impairment)):
        report = traffic.connections(count=50, rate=50, request=5000, response=20_000, timeout=20)
    after = chain.lab.link_counters(link)
    assert report.completed == 50, report.explain()
    for counted in ["lost"] * bool(impairment.loss) + ["reordered"] * bool(impairment.reorder):
        for way in after:
            assert after[way][counted] - before[way][counted] > 5, f"{way}: the link did what it was asked to"
    judged = trace()
    # When the client is answered is the claim of other tests: here the machine is busy with captures.
    judged.expect(capture_health(), carried_by(), translation(), delivery(), checksums(), teardown(), placement=sut)
    assert judged.second_opinion(sample=3).judged > 0
