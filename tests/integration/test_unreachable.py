"""A server that never answers: nothing is made up for it, and who waits is told apart from who is slow."""

from __future__ import annotations

import numpy as np
import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.latency import budget
from hopscope.checks.verdict import Outcome
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.wire.packets import SYN
from hopscope.wire.taps import Position

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

COUNT = 8


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_mute_server_is_asked_again_and_nothing_is_invented(chain, capture, traffic, trace, sut):
    server = chain.topology.role("server").name
    mute = {"input": Chain("type filter hook input priority 0; policy accept;", ("tcp dport 8080-8083 drop",))}
    with chain.lab.applied(NftTable(server, "mute", mute)):
        report = traffic.connections(count=COUNT, rate=100, timeout=1.3, grace=0.5)
    assert report.outcomes == {"timeout": COUNT}
    assert report.established == COUNT, "the rewriter answers before it can know"
    assert not any(each.bytes for each in report.connections)
    assert report.broken()[0].error.startswith("1.3 s were not enough for the response: connected after 0.0")
    assert report.broken()[0].error.endswith("and no more in 0.5 s of grace")

    capture.stop_sut()  # its flows wait for longer than a test does
    judged = trace()
    judged.expect(checksums())
    flow = judged.trace.flow_of[Position.CLIENTNIC_WAN]
    packets = judged.trace.taps[Position.CLIENTNIC_WAN].packets
    syns = np.bincount(flow[(packets.flags & SYN != 0) & (flow >= 0)], minlength=COUNT)
    assert (syns >= 2).all(), "each SYN crossed the WAN again after a second"
    assert (judged.trace.real_isn < 0).all()
    verdict = judged.judge(budget("ttfb", limit_ms=100))[0]
    assert verdict.outcome is Outcome.FAIL
    assert f"broken: {COUNT} flows never got there" in verdict.summary
