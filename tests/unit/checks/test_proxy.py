"""A proxy: two connections where there was one, and what must not pass for one."""

from __future__ import annotations

import pytest

from hopscope.checks.expectation import expectation
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe

OWN = "10.1.1.1"
PLAIN = Recipe("plain", lose=False)
STARTED = {"event": "sut_started", "sut": "p", "placement": "proxy", "time_ns": golden.START_NS - 1}


def opens_its_own(chain, behind: int = 2, flows=(0, 1, 2)) -> None:
    """The box at ``behind`` speaks for itself from there on: other address, other port, other numbers."""
    for tap in TAPS[behind:]:
        for frame in chain.taps[tap]:
            if frame.flow not in flows:
                continue
            if frame.src == chain.recipe.client:
                frame.src, frame.sport, frame.seq = OWN, frame.sport + 9000, (frame.seq - 77) % 2**32
            else:
                frame.dst, frame.dport, frame.ack = OWN, frame.dport + 9000, (frame.ack - 77) % 2**32


def outcomes(verdicts) -> dict[str, str]:
    return {verdict.check: verdict.outcome.name for verdict in verdicts}


def judged(load, change, placement: str | None = "proxy"):
    return {verdict.check: verdict for verdict in expectation(placement=placement).judge(load(PLAIN, change))}


@pytest.mark.parametrize("behind", [2, 4], ids=["at-clientnic", "at-servernic"])
def test_a_proxy_passes_part_by_part(load, behind) -> None:
    verdicts = judged(load, lambda chain: opens_its_own(chain, behind))
    failing = {name: verdict.summary for name, verdict in verdicts.items() if verdict.outcome is Outcome.FAIL}
    assert not failing
    for name in ("placement", "carried_by", "delivery", "checksums", "next_hop", "teardown"):
        assert verdicts[name].outcome is Outcome.PASS, (name, verdicts[name].summary)
    for name in ("ordering", "translation"):
        assert verdicts[name].outcome is Outcome.NOT_APPLICABLE
        assert "proxy" in verdicts[name].summary
    assert verdicts["placement"].metrics == {"ended": 3, "opened": 3}


def test_what_the_run_declared_needs_no_claim(load) -> None:
    def declare(chain) -> None:
        opens_its_own(chain)
        chain.sidecar["sut"] = [STARTED]

    assert judged(load, declare, placement=None)["carried_by"].outcome is Outcome.PASS


def test_plain_tcp_is_no_proxy(load) -> None:
    verdicts = judged(load, None)
    assert verdicts["placement"].outcome is Outcome.FAIL
    assert "every connection crosses clientnic" in verdicts["placement"].summary
    assert verdicts["carried_by"].failed == 3


def test_rejects_one_connection_past_the_proxy(load) -> None:
    verdict = judged(load, lambda chain: opens_its_own(chain, flows=(0, 1)))["carried_by"]
    assert verdict.outcome is Outcome.FAIL
    assert verdict.failed == 1
    assert verdict.evidence[0].seen == "it goes on behind the box"


def test_rejects_a_proxy_that_opens_nothing(load) -> None:
    def swallow(chain) -> None:
        for tap in TAPS[2:]:
            chain.taps[tap] = [frame for frame in chain.taps[tap] if frame.flow is None]

    verdict = judged(load, swallow)["placement"]
    assert verdict.outcome is Outcome.FAIL
    assert "no connection leaves clientnic" in verdict.summary


@pytest.mark.parametrize(("tap", "part"), [("client-eth0", "client's part"), ("server-eth0", "server's part")])
def test_rejects_a_changed_byte_in_either_part(load, tap, part) -> None:
    def spoil(chain) -> None:
        opens_its_own(chain)
        golden.change(chain, tap, "response", payload=lambda old: b"\0" + old[1:])

    verdict = judged(load, spoil)["delivery"]
    assert verdict.outcome is Outcome.FAIL
    assert f"{part}: 1 flow" in verdict.summary


def test_connections_of_other_blocks_are_not_the_proxys(load) -> None:
    """Flow 2 is the kernel's, from before the proxy came: it is neither judged nor taken for one that was opened."""
    trace = load(PLAIN, lambda chain: opens_its_own(chain, flows=(0, 1)))
    part = trace.select(end_ns=int(trace.began.max()))
    verdicts = {verdict.check: verdict for verdict in expectation(placement="proxy").judge(part)}
    assert verdicts["placement"].metrics == {"ended": 2, "opened": 2}
    assert verdicts["carried_by"].outcome is Outcome.PASS
    assert verdicts["delivery"].judged == 4
