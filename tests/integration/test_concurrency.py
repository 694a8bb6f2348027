"""Many connections at once and many a second: every one of them is rewritten, and none is lost."""

from __future__ import annotations

import pytest

# Alone on the machine: next to another lab they are late for want of a processor.
pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt, pytest.mark.budget]

PLACEMENTS = pytest.mark.parametrize("sut", ["stamp", "hold"])


@PLACEMENTS
@pytest.mark.lab_topology("chain-100ms.yaml")
def test_two_hundred_at_once(traffic, trace, sut):
    """The last of them waits for all the others: about 20 ms here, which a round trip of 20 ms would not forgive."""
    report = traffic.connections(count=200, rate=None)
    assert report.completed == 200, report.explain()
    trace().expect(placement=sut)


@pytest.mark.parametrize(
    ("sut", "count"), [("stamp", 2000), ("hold", 600), pytest.param("hold", 2000, marks=pytest.mark.nightly)]
)
def test_two_hundred_a_second(traffic, trace, sut, count):
    report = traffic.connections(count=count, rate=200)
    assert report.completed == count, report.explain()
    trace().expect(placement=sut)
