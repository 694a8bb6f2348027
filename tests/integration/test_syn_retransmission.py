"""A SYN that is sent again belongs to the flow that it began: the same answer, the same stamp, one connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hopscope.lab.wait import wait_until
from hopscope.model.topology import Impairment
from hopscope.wire.taps import Position
from support import conversations, talk

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

COUNT = 8


@pytest.mark.parametrize("sut", ["stamp", "hold", "kernel"])
def test_a_syn_lost_on_the_wan_is_sent_again(chain, traffic, trace, sut):
    """Who was answered early does not repeat its SYN, so the box has to; without a box the client's kernel does."""
    link = chain.topology.wan.name
    first_flight = COUNT * (3 if sut == "stamp" else 1)  # with `stamp` an ACK and the request are right behind the SYN
    traffic.connections(count=1)
    before = chain.lab.link_counters(link)["a_to_b"]["lost"]
    with ThreadPoolExecutor(1) as pool:
        with chain.lab.applied(chain.lab.impairment(link, Impairment(rtt_ms=20, loss=1.0))):
            load = pool.submit(traffic.connections, count=COUNT, rate=200)
            wait_until(
                lambda: chain.lab.link_counters(link)["a_to_b"]["lost"] - before >= first_flight,
                timeout=5, interval=0.01, what="the SYNs to be lost",
            )  # fmt: skip
        report = load.result()
    assert report.completed == COUNT, report.explain()

    judged = trace()
    assert len(judged.trace) == COUNT + 1
    judged.expect(placement=conversations.claim(sut))
    rows, nth = judged.trace.rows[Position.CLIENTNIC_WAN].rank(judged.trace.rows[Position.CLIENTNIC_WAN].syn)
    flow = judged.trace.flow_of[Position.CLIENTNIC_WAN][rows]
    assert len(np.unique(flow[nth >= 1])) == COUNT, "all but the first connection sent a second SYN"
    if sut == "stamp":
        stamps = judged.trace.taps[Position.CLIENTNIC_WAN].packets.ack[rows]
        assert (stamps == judged.trace.spoofed_isn[flow]).all(), "every repetition bears the stamp"


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_syn_that_comes_twice_gets_the_same_answer_twice(chain, trace, test_directory, sut):
    with conversations.hands_off(chain), conversations.serving(chain, "last", test_directory):
        seen = conversations.craft(chain, "twice", from_port=39020)
    assert seen["answers"][0] == seen["answers"][1]
    assert (seen["bytes"], seen["ended"]) == (talk.RESPONSE, True)
    judged = trace()
    assert len(judged.trace) == 1
    judged.expect(*conversations.patient(), placement=sut)
