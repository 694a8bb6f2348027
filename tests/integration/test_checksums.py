"""Checksums are right wherever a box edits a segment, and a wrong one is neither made good nor taken for a box's."""

from __future__ import annotations

import numpy as np
import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.verdict import Outcome
from hopscope.wire.packets import ChecksumState
from support import conversations, talk

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_segment_sent_with_a_bad_checksum_stays_bad_on_every_hop(chain, trace, test_directory, sut):
    with conversations.hands_off(chain), conversations.serving(chain, "last", test_directory):
        seen = conversations.craft(chain, "bad-checksum", from_port=39001)
    assert (seen["taken"], seen["bytes"], seen["ended"]) == (False, talk.RESPONSE, True)

    judged = trace()
    verdict = judged.judge(checksums())[0]
    assert verdict.outcome is Outcome.FAIL
    bad = {tap.name: np.flatnonzero(tap.packets.l4_checksum == ChecksumState.BAD) for tap in judged.trace.taps.values()}
    assert {name: len(rows) for name, rows in bad.items()} == dict.fromkeys(bad, 1), "one, at all six taps"
    assert verdict.failed == 6
    assert judged.second_opinion(sample=5).metrics["segments"] > 100


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_every_checksum_of_ordinary_connections_is_good(traffic, trace, sut):
    report = traffic.connections(count=50, rate=100, request=3000, response=5000, rounds=2)
    assert report.completed == 50, report.explain()
    trace().expect(checksums())
