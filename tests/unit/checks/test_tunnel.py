"""Checks of tunnels: golden captures that they pass, and one thing changed that each must reject by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hopscope.checks.judge import judge_folder
from hopscope.checks.text import render
from hopscope.checks.tunnel import everything, standing, tunnel_checks
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.wire.tunnel import TunnelTrace
from support import golden_tunnel
from support.golden_tunnel import MS, START, Tunnel

FAIL, PASS, INCONCLUSIVE, NOT_APPLICABLE = Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE
CHECKS = {check.name: check for check in tunnel_checks()}
Change = Callable[[Tunnel], Any]


@pytest.fixture
def judge(tmp_path):
    def judged(name: str, change: Change = lambda tunnel: None, **how: Any) -> Verdict:
        tunnel = golden_tunnel.build(**how)
        change(tunnel)
        return CHECKS[name](TunnelTrace.load(tunnel.write(tmp_path)))

    return judged


def told(verdict: Verdict) -> str:
    return "\n".join([verdict.summary, *(f"{each.tap}: {each.expected} | {each.seen}" for each in verdict.evidence)])


@pytest.mark.parametrize("how", [{}, {"family": 6}, {"split": True}], ids=["v4", "v6", "split"])
@pytest.mark.parametrize("name", CHECKS)
def test_the_golden_tunnel_passes(judge, name, how):
    verdict = judge(name, **how)
    assert verdict.outcome is PASS, told(verdict)
    assert verdict.judged > 0


def said(key: str, number: int, **changes: Any) -> Change:
    return lambda tunnel: tunnel.said[key][number].update(changes)


def both(*changes: Change) -> Change:
    return lambda tunnel: [change(tunnel) for change in changes]


def gone(kind: str, first: int, last: int = 3) -> Change:
    """The second echo of the first ping, or its reply, is not seen from one tap of its way to another."""

    def change(tunnel: Tunnel) -> None:
        for tap in golden_tunnel.TAPS[first : last + 1]:
            tunnel.drop(tap, f"{'carrier of ' if 'eth' in tap else ''}{kind} 2 of left")

    return change


def unseen_on(*taps: str) -> Change:
    """Nothing of the first ping at all."""

    def change(tunnel: Tunnel) -> None:
        for tap in taps:
            tunnel.taps[tap] = [frame for frame in tunnel.taps[tap] if not re.match("re.* of left", frame.label)]

    return change


ONE_LESS = said("pings", 0, received=2)
NO_REPLY = both(ONE_LESS, gone("reply", 0))
BETWEEN = "lost between tun0 of left and tun0 of right: "
PING_FAULTS = [
    (both(NO_REPLY, gone("request", 0)), "1 of 3 never entered tun0 of left"),
    (both(NO_REPLY, gone("request", 1)), BETWEEN + "the daemon on left sent 260 bytes on left-eth0 for the 384 that"),
    (
        both(NO_REPLY, gone("request", 2)),
        "the way between left-eth0 and right-eth0 lost them (390 bytes sent, 260 ",
    ),
    (
        both(NO_REPLY, gone("request", 3)),
        "390 bytes arrived on right-eth0, and the daemon on right did not hand",
    ),
    (NO_REPLY, "1 of 3 came out of tun0 of right and were not answered there"),
    (both(ONE_LESS, gone("reply", 0, 2)), "1 replies of 3 lost between tun0 of right and tun0 of left: the daemon on "),
    (
        both(ONE_LESS, gone("reply", 0, 0)),
        "390 bytes arrived on left-eth0, and the daemon on left did not hand",
    ),
    (ONE_LESS, "1 of 3 replies came out of tun0 of left, and left took none"),
    (said("pings", 0, errors=1), "left to 10.9.0.2, 128 bytes: 1 error"),
    (said("pings", 0, words=["Destination Host Unreachable"]), "Destination Host Unreachable"),
    (said("pings", 1, duplicates=2), "right to 10.9.0.1, 128 bytes: 2 answers too many"),
    (both(said("pings", 0, sent=0, received=0), unseen_on("left-tun0", "right-tun0")), "none could be sent"),
    (unseen_on("left-tun0", "right-tun0"), "3 of 3 answered and not seen on tun0 of left: they went another way"),
]


@pytest.mark.parametrize(("change", "words"), PING_FAULTS, ids=[words[:50] for _, words in PING_FAULTS])
def test_a_ping_says_where_it_was_lost(judge, change, words):
    verdict = judge("pings", change)
    assert verdict.outcome is FAIL
    assert words in told(verdict), told(verdict)
    assert verdict.evidence


def silent_from(seconds: float) -> Change:
    def change(tunnel: Tunnel) -> None:
        start = tunnel.said["idles"][0][0]
        for tap in ("left-eth0", "right-eth0"):
            tunnel.taps[tap] = [frame for frame in tunnel.taps[tap] if frame.time < start + seconds * 1e9]

    return change


def in_clear(tap: str, *, offset: int) -> Change:
    """A stretch of an inner packet lies in one frame outside, at any place."""

    def change(tunnel: Tunnel) -> None:
        inner = next(each.data for each in tunnel.taps["left-tun0"] if each.label == "bytes 3 of left")
        piece = inner[offset : offset + 60]
        tunnel.change(tap, "carrier of bytes 3 of left", lambda data: data[:101] + piece + data[101 + len(piece) :])

    return change


def ended(flags: str) -> Change:
    def change(tunnel: Tunnel) -> None:
        tunnel.segment("right", flags, label="ended")

    return change


def one_way(tunnel: Tunnel) -> None:
    mine = [frame for frame in tunnel.taps["right-eth0"] if re.match("keepalive .* right", frame.label)]
    tunnel.taps["right-eth0"] = mine


FAULTS = [
    ("transfer", said("transfers", 0, received=4000, error="timed out"), "4,000 of 4,200 bytes arrived (timed out)"),
    ("transfer", said("transfers", 1, same=False), "right to left: what arrived is not what was sent"),
    ("transfer", lambda t: t.drop("right-tun0", "bytes 3 of left"), "3,500 of 4,200 bytes on tun0 of right: they went"),
    ("counters", said("counters", 0, moved={"tx": 0, "rx": 6}), "6 packets went into tun0 of left and its daemon r"),
    ("counters", said("counters", 0, moved={"tx": 7, "rx": 6}), "tx of tun0 of left moved by 7, captured 6"),
    ("counters", said("counters", 1, moved={"tx": 6, "rx": 5}), "rx of tun0 of right moved by 5, captured 6"),
    ("counters", said("counters", 1, moved={"tx": 6, "rx": 6, "tx_dropped": 4}), "tx_dropped of tun0 of right"),
    ("keepalive", silent_from(0.6), "nothing on left-eth0 for 1.50 s"),
    ("transport", ended("RA"), "right reset (RST) it"),
    ("transport", ended("FA"), "right ended (FIN) it"),
    ("transport", lambda t: t.handshake(40002, steps=1), "a SYN that right did not answer"),
    ("transport", one_way, "nothing that left sends on this underlay"),
    ("secrecy", in_clear("left-eth0", offset=0), "header of left-tun0.pcap frame"),
    ("secrecy", in_clear("right-eth0", offset=350), "payload of left-tun0.pcap frame"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "words"), FAULTS, ids=[f"{name}: {words}"[:60] for name, _, words in FAULTS]
)
def test_rejects(judge, name, change, words):
    verdict = judge(name, change)
    assert verdict.outcome is FAIL, told(verdict)
    assert words in told(verdict), told(verdict)
    assert verdict.evidence


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("family", [4, 6])
def test_a_tunnel_that_hides_nothing_is_caught_though_packets_lie_across_segments(judge, family, split):
    verdict = judge("secrecy", family=family, clear=True, split=split)
    assert verdict.outcome is FAIL
    assert {each.tap for each in verdict.evidence} == {"left-eth0.pcap", "right-eth0.pcap"}


def test_filling_that_is_met_by_chance_is_no_leak(judge):
    """Zeroes go through the tunnel, and are outside as well."""

    def change(tunnel: Tunnel) -> None:
        for tap in ("left-eth0", "right-eth0"):
            tunnel.change(tap, "carrier of bytes 3 of left", lambda data: data[:101] + bytes(200) + data[301:])
        for tap in ("left-tun0", "right-tun0"):
            tunnel.change(tap, "bytes 3 of left", lambda data: data[:60] + bytes(len(data) - 60))

    assert judge("secrecy", change).outcome is PASS


@pytest.mark.parametrize("name", ["transport", "keepalive"])
def test_what_the_harness_interrupted_is_excused_and_nothing_else(judge, name):
    def change(tunnel: Tunnel) -> None:
        start = tunnel.now
        tunnel.segment("left", "RA", label="ended")
        tunnel.handshake(port=40003)
        tunnel.say("interruptions", {"what": "cut", "start_ns": start, "end_ns": tunnel.now})

    assert judge(name, change).outcome is PASS
    if name == "transport":
        late = both(change, lambda tunnel: setattr(tunnel, "now", tunnel.now + 10 * MS), ended("RA"))
        assert judge(name, late).outcome is FAIL


def lossy(tap: str) -> Change:
    return lambda tunnel: tunnel.facts[tap].update(dropped=2, received=10_000)


def late(tap: str) -> Change:
    return lambda tunnel: tunnel.facts[tap].update(live_ns=START + 10**12, end_ns=START + 2 * 10**12)


BLIND = [
    ("capture_health", lossy("left-tun0"), "dropped 2"),
    ("capture_health", lambda t: t.facts["right-eth0"].update(problem="ended by itself"), "ended by itself"),
    ("capture_health", lambda t: t.taps.pop("right-tun0"), "there is none"),
    ("capture_health", lambda t: t.facts["left-tun0"].update(captured=99, received=99), "packets in it"),
    ("pings", both(lossy("right-tun0"), NO_REPLY, gone("request", 3)), "are not whole"),
    ("pings", both(late("right-tun0"), NO_REPLY, gone("request", 3)), "are not whole"),
    ("transfer", both(lossy("right-tun0"), lambda t: t.drop("right-tun0", "bytes 3")), "no sound capture"),
    ("counters", lossy("left-tun0"), "no sound capture of tun0 on left"),
    ("keepalive", lossy("left-eth0"), "no sound capture of the underlay of left"),
    ("pings", lambda t: t.said.pop("pings"), "no ping was sent"),
    ("transfer", lambda t: t.said.pop("transfers"), "nothing was transferred"),
    ("counters", lambda t: t.said.pop("counters"), "no counters were read"),
    ("keepalive", lambda t: t.said.update(idles=[[START, START + MS]]), "no idle time as long as 1 s"),
    ("transport", lambda t: [t.taps[tap].clear() for tap in ("left-eth0", "right-eth0")], "nothing on tcp port 1194"),
    ("secrecy", lambda t: [t.taps[tap].clear() for tap in ("left-tun0", "right-tun0")], "nothing went through"),
    ("secrecy", lambda t: [t.taps[tap].clear() for tap in ("left-eth0", "right-eth0")], "no frame was captured"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "words"), BLIND, ids=[f"{name}: {words}" for name, _, words in BLIND])
def test_what_could_not_be_seen_is_not_concluded(judge, name, change, words):
    verdict = judge(name, change)
    assert verdict.outcome is INCONCLUSIVE, told(verdict)
    assert words in told(verdict), told(verdict)


@pytest.mark.parametrize(
    ("name", "said"),
    [("secrecy", {"secret": False}), ("keepalive", {"keepalive_s": None})],
    ids=["secrecy", "keepalive"],
)
def test_what_a_tunnel_does_not_claim_is_not_applicable(judge, name, said):
    assert judge(name, lambda tunnel: tunnel.said.update(said)).outcome is NOT_APPLICABLE


def test_a_pass_that_rests_on_a_lossy_capture_is_none(tmp_path):
    tunnel = golden_tunnel.build()
    lossy("left-eth0")(tunnel)
    outcomes = {verdict.check: verdict.outcome for verdict in everything(TunnelTrace.load(tunnel.write(tmp_path)))}
    assert outcomes == dict.fromkeys(CHECKS, INCONCLUSIVE)


def test_a_window_in_which_nothing_was_sent_is_held_to_its_captures_alone(tmp_path):
    tunnel = Tunnel()
    tunnel.handshake()
    verdicts = standing(TunnelTrace.load(tunnel.write(tmp_path)))
    assert [(verdict.check, verdict.outcome) for verdict in verdicts] == [("capture_health", PASS)]


def test_a_stored_window_is_judged_again_by_all_that_was_said(tmp_path):
    judgement = judge_folder(golden_tunnel.build().write(tmp_path))
    assert [verdict.check for verdict in judgement.verdicts] == list(CHECKS)
    assert (judgement.outcome, judgement.exit_code) == (PASS, 0)
    assert [tap.position for tap in judgement.taps] == ["left tun0", "left eth0", "right tun0", "right eth0"]
    assert "4 captures, tunnel golden over tcp port 1194 of right\n" in render(judgement)
    assert judgement.to_json()["subject"] == "tunnel golden over tcp port 1194 of right"


@pytest.mark.parametrize("told", [True, False])
def test_an_end_whose_clock_is_another_one_is_judged_by_what_is_known_of_it(tmp_path, told):
    ahead = 3_000 * MS
    tunnel = golden_tunnel.build()
    end_ns = tunnel.now + 10**9
    for tap in ("right-tun0", "right-eth0"):
        tunnel.taps[tap] = [replace(frame, time=frame.time + ahead) for frame in tunnel.taps[tap]]
        tunnel.facts[tap] = {"live_ns": START - 10**9 + ahead, "end_ns": end_ns + ahead}
    if told:
        tunnel.said["ahead_ns"] = {"right": ahead}
    outcomes = {each.check: each.outcome for each in everything(TunnelTrace.load(tunnel.write(tmp_path)))}
    assert (set(outcomes.values()) == {PASS}) is told, outcomes
