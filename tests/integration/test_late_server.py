"""A server that answers late is slow, not broken: the connection completes, and the message says when."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from hopscope.checks.latency import budget
from hopscope.checks.verdict import Outcome
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.wait import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

COUNT = 8


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_the_answer_that_comes_late_is_carried_and_told_apart_from_none(chain, server, traffic, trace, sut):
    """The first SYN of each connection is dropped in front of the server; the box's own repetition is answered."""
    mute = ("tcp dport 8080-8083 counter drop",)
    table = NftTable(server.name, "late", {"input": Chain("type filter hook input priority 0; policy accept;", mute)})

    def dropped() -> int:
        listed = json.loads(server.run(["nft", "-j", "list", "table", "inet", "late"]).stdout)["nftables"]
        rule = next(entry["rule"] for entry in listed if "rule" in entry)
        return next(int(part["counter"]["packets"]) for part in rule["expr"] if "counter" in part)

    traffic.connections(count=1)  # the responder listens from here on
    with ThreadPoolExecutor(1) as pool:
        with chain.lab.applied(table):
            load = pool.submit(traffic.connections, count=COUNT, rate=200, timeout=0.5, grace=5)
            wait_until(lambda: dropped() >= COUNT, timeout=5, interval=0.01, what="the SYNs to be dropped")
        report = load.result()
    assert report.outcomes == {"late": COUNT}, report.explain()
    assert "0.5 s were not enough for the response: connected after 0.0" in report.explain()
    assert "first byte after 1." in report.explain()

    judged = trace()
    judged.expect(placement=sut)
    verdict = judged.judge(budget("ttfb", limit_ms=500))[0]
    assert verdict.outcome is Outcome.FAIL
    assert f"slow: {COUNT} flows, the last after 1" in verdict.summary
    assert "broken" not in verdict.summary
