"""Delivery: bytes lost on every hop and in every box, changed, made up; and what is no loss."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.delivery import delivery
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe
from support.grids import sparse

UP = [
    "between client-eth0 and clientnic-eth0",
    "in clientnic",
    "between clientnic-eth1 and servernic-eth0",
    "in servernic",
    "between servernic-eth1 and server-eth0",
]
DOWN = [
    "between clientnic-eth0 and client-eth0",
    "in clientnic",
    "between servernic-eth0 and clientnic-eth1",
    "in servernic",
    "between server-eth0 and servernic-eth1",
]
"""Where a byte was lost between tap n and tap n + 1."""


PLACES = pytest.mark.parametrize(("placement", "place"), sparse(["plain", "hold", "stamp"], range(5), every=2))


@PLACES
def test_rejects_a_request_lost_on_the_way_up(placement, place, rejects):
    lost = TAPS[place + 1 :]
    verdict = rejects(delivery(), Recipe(placement), lambda chain: golden.drop_from(chain, "request", lost), UP[place])
    assert (verdict.failed, verdict.metrics["bytes_lost"]) == (1, 100)


@PLACES
def test_rejects_a_response_lost_on_the_way_down(placement, place, rejects):
    lost = TAPS[: place + 1]
    change = lambda chain: golden.drop_from(chain, "response", lost)  # noqa: E731
    verdict = rejects(delivery(), Recipe(placement), change, DOWN[place])
    assert (verdict.failed, verdict.metrics["bytes_lost"]) == (1, 3000)


@pytest.mark.parametrize("first", range(1, 6))
@pytest.mark.parametrize("placement", ["plain", "stamp"])
def test_rejects_a_changed_byte(placement, first, rejects):
    def flip(payload):
        return payload[:7] + bytes([payload[7] ^ 1]) + payload[8:]

    def change(chain):
        for tap in TAPS[first:]:
            golden.change(chain, tap, "request", payload=flip)

    verdict = rejects(delivery(), Recipe(placement), change, UP[first - 1])
    assert "byte 7 of the payload" in verdict.evidence[0].expected


def test_rejects_bytes_that_nobody_sent(rejects):
    def more(chain):
        golden.change(chain, "server-eth0", "request", payload=lambda payload: payload + b"?")

    rejects(delivery(), Recipe("plain"), more, "never sent")


def test_rejects_a_flow_whose_early_data_is_never_delivered(rejects):
    """The client got its acknowledgement from the box, and the server never heard of it."""

    def swallow(chain):
        for label in ("syn", "ack", "request", "fin-client", "ack-last", "ack-response"):
            golden.drop_from(chain, label, TAPS[2:])
        for label in ("synack", "response", "fin-server"):
            golden.drop_from(chain, label, TAPS)

    verdict = rejects(delivery(), Recipe("stamp"), swallow, "in clientnic")
    assert verdict.metrics["bytes_lost"] == 100


def test_a_lost_and_repeated_segment_is_no_loss(load):
    trace = load(Recipe("stamp", lose=True))
    assert delivery()(trace).outcome is Outcome.PASS


@pytest.mark.parametrize("tap", ["client-eth0", "servernic-eth1", "server-eth0"])
def test_segments_cut_anew_are_no_loss(tap, load):
    """Offloads merge segments at some taps and not at others."""

    def join(chain):
        one, two, three = chain.find(tap, "response")
        one.payload += two.payload + three.payload
        golden.drop(chain, tap, "response", nth=2)
        golden.drop(chain, tap, "response", nth=1)

    verdict = delivery()(load(Recipe("stamp"), join))
    assert (verdict.outcome, verdict.metrics["bytes"]) == (Outcome.PASS, 9300)


def test_merged_segments_with_a_changed_byte_fail(rejects):
    def join(chain):
        one, two = chain.find("client-eth0", "response")[:2]
        one.payload += b"\0" + two.payload[1:]
        golden.drop(chain, "client-eth0", "response", nth=1)

    rejects(delivery(), Recipe("stamp"), join, "0x00, changed between clientnic-eth0 and client-eth0")


def test_a_changed_repetition_fails(rejects):
    """The first copy was right; the second must be as well."""

    def repeat(chain):
        golden.change(chain, "client-eth0", "again", flow=1, payload=lambda payload: b"x" + payload[1:])
        golden.change(chain, "clientnic-eth0", "again", flow=1, payload=lambda payload: b"x" + payload[1:])

    rejects(delivery(), Recipe("stamp"), repeat, "in clientnic")


def test_after_a_reset_only_what_was_acknowledged_counts(load):
    def lose_last(chain):
        """The third segment never comes; the client acknowledged two and reset."""
        for tap in TAPS[:3]:
            golden.drop(chain, tap, "response", nth=2)
        for tap in TAPS:
            golden.drop(chain, tap, "ack-response", nth=2)

    recipe = Recipe("stamp", close="rst", flows=1)
    assert delivery()(load(recipe, lose_last)).outcome is Outcome.PASS
    assert delivery()(load(Recipe("stamp", close="open", flows=1), lose_last)).outcome is Outcome.FAIL


def test_what_was_acknowledged_before_a_reset_must_have_come(rejects):
    rejects(
        delivery(), Recipe("stamp", close="rst"), lambda chain: golden.drop_from(chain, "request", TAPS[3:]),
        "between clientnic-eth1 and servernic-eth0",
    )  # fmt: skip


def test_bytes_under_way_at_the_end_are_not_lost(load):
    def soon_over(chain):
        chain.sidecar.pop("sut", None)
        last = max(frame.time_ns for frames in chain.taps.values() for frame in frames)
        for tap in TAPS:
            chain.tap_facts[tap]["end_ns"] = last
        for label in ("fin-client", "fin-server", "ack-last", "ack-response"):
            golden.drop_from(chain, label, TAPS)
        golden.drop_from(chain, "response", TAPS[:3])

    trace = load(Recipe("stamp", flows=1), soon_over)
    if trace.whole.any():
        assert delivery()(trace).outcome is not Outcome.FAIL


def test_a_byte_missing_from_an_unhealthy_capture_is_no_proof(load):
    def lose(chain):
        golden.drop_from(chain, "request", TAPS[5:])
        chain.tap_facts["server-eth0"]["dropped"] = 1

    verdict = delivery()(load(Recipe("plain"), lose))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no proof" in verdict.summary


def test_a_byte_that_its_receiver_acknowledged_was_missed_by_a_capture_without_counters(load):
    def lose(chain):
        golden.drop_from(chain, "request", TAPS[5:])

    assert delivery()(load(Recipe("plain"), lose, sidecar=False)).outcome is Outcome.INCONCLUSIVE


def test_payload_that_the_capture_cut_off_is_not_called_unchanged(load):
    def cut(chain):
        for frames in chain.taps.values():
            for frame in frames:
                frame.cut = 100

    verdict = delivery()(load(Recipe("plain"), cut))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "snap length" in verdict.summary


def test_flows_without_payload_conclude_nothing(load):
    assert delivery()(load(Recipe("plain", request=0, response=1), _mute)).outcome is Outcome.INCONCLUSIVE


def _mute(chain):
    for frames in chain.taps.values():
        for frame in frames:
            if frame.proto == 6:
                frame.payload = b""


def test_one_capture_concludes_nothing(load):
    assert delivery()(load(Recipe("plain"), only=("client-eth0",))).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("tap", TAPS[1:5])
@pytest.mark.parametrize("label", ["request", "response"])
def test_rejects_a_byte_that_only_a_tap_on_the_way_shows_changed(tap, label, rejects):
    def flip(payload):
        return bytes([payload[0] ^ 1]) + payload[1:]

    verdict = rejects(
        delivery(), Recipe("stamp"), lambda chain: golden.change(chain, tap, label, payload=flip), "changed "
    )  # fmt: skip
    assert verdict.evidence[0].tap == f"{tap}.pcap"


def test_bytes_that_an_unproven_capture_never_saw_sent_are_no_proof(load):
    def miss(chain):
        golden.drop(chain, "client-eth0", "request")

    assert delivery()(load(Recipe("stamp"), miss, sidecar=False)).outcome is Outcome.INCONCLUSIVE


def test_a_frame_to_a_wrong_address_is_lost_on_its_hop(rejects):
    """A capture sees what goes by; the host behind it does not take a frame that is addressed to somebody else."""

    def stale(chain):
        for tap in TAPS[2:4]:
            golden.change(chain, tap, "request", dst_mac="02:00:00:00:00:99")
        golden.drop_from(chain, "request", TAPS[4:])

    hop = "on the hop clientnic-eth1--servernic-eth0: its frame is addressed to 02:00:00:00:00:99"
    rejects(delivery(), Recipe("stamp"), stale, hop)


@pytest.mark.parametrize(("given_up_ms", "outcome"), [(2000, Outcome.FAIL), (100, Outcome.INCONCLUSIVE)])
def test_what_was_sent_long_before_a_reset_had_to_arrive(given_up_ms, outcome, load):
    """A client that waits in vain resets the connection. That ends it, and does not make good what was lost before."""

    def lost(chain):
        for label in ("response", "again", "ack-response", "ack-again"):
            golden.drop_from(chain, label, TAPS)
        golden.drop_from(chain, "request", TAPS[2:])
        for frames in chain.taps.values():
            for frame in frames:
                if frame.label == "rst":
                    frame.time_ns += given_up_ms * 1_000_000

    verdict = delivery()(load(Recipe("stamp", flows=1, close="rst"), lost))
    assert verdict.outcome is outcome, verdict.summary
    if outcome is Outcome.INCONCLUSIVE:
        assert verdict.summary == "no payload byte of 1 flow arrived, and none had to"


def test_a_server_that_accepted_nothing_is_delivered_nothing(load):
    def refused(chain):
        kept = ("syn", "spoof", "ack", "request")
        for tap in TAPS:
            chain.taps[tap] = [frame for frame in chain.taps[tap] if frame.flow is None or frame.label in kept]
        golden.drop_from(chain, "request", TAPS[4:])

    verdict = delivery()(load(Recipe("stamp", flows=1, close="open"), refused))
    assert verdict.outcome is Outcome.NOT_APPLICABLE, verdict.summary


def unanswered(last, answer=None):
    """Flow 1's SYN reaches the tap numbered ``last`` and no further; the answer set out, and came to tap ``answer``."""

    def change(chain):
        for at, (tap, frames) in enumerate(chain.taps.items()):
            kept = [frame for frame in frames if frame.flow != 1]
            if at <= last:
                kept += chain.find(tap, "syn", 1)
            if answer is not None and at >= answer:
                kept += chain.find(tap, "synack", 1) or chain.find(tap, "spoof", 1)
            chain.taps[tap] = kept

    return change


UNANSWERED = [
    (0, None, "the client's SYN was last seen at client-eth0: lost on the hop client-eth0--clientnic-eth0"),
    (1, None, "the client's SYN was last seen at clientnic-eth0: lost in clientnic"),
    (2, None, "lost on the hop clientnic-eth1--servernic-eth0"),
    (3, None, "lost in servernic"),
    (4, None, "the client's SYN was last seen at servernic-eth1: lost on the hop servernic-eth1--server-eth0"),
    (5, 5, "the server's answer was last seen at server-eth0: lost on the hop servernic-eth1--server-eth0"),
    (5, 4, "lost in servernic"),
    (5, 1, "the server's answer was last seen at clientnic-eth0: lost on the hop client-eth0--clientnic-eth0"),
]


@pytest.mark.parametrize(("placement", "how"), sparse(["plain", "hold", "stamp"], UNANSWERED, every=3))
def test_rejects_a_connection_that_was_never_answered(placement, how, rejects):
    last, answer, told = how
    verdict = rejects(delivery(), Recipe(placement), unanswered(last, answer), told)
    assert (verdict.failed, verdict.exit_code) == (1, 1)
    assert "1 connection never answered" in verdict.summary


def test_a_server_that_says_nothing_is_noted(load):
    verdict = delivery()(load(Recipe("plain"), unanswered(5)))
    assert verdict.outcome is Outcome.PASS
    assert "1 connection that the server itself left unanswered" in verdict.summary


@pytest.mark.parametrize("facts", [("server-eth0", 2), ("client-eth0", 4)])
def test_an_answer_that_a_capture_may_have_missed_is_no_failure(facts, load):
    def change(chain):
        unanswered(1)(chain)
        chain.tap_facts[facts[0]]["dropped"] = facts[1]

    assert delivery()(load(Recipe("plain"), change)).outcome is Outcome.INCONCLUSIVE


def test_a_connection_asked_for_at_the_end_may_still_be_answered(load):
    def change(chain):
        unanswered(1)(chain)
        for tap in chain.taps:
            chain.tap_facts[tap]["end_ns"] = golden.START_NS + 900_000_000

    verdict = delivery()(load(Recipe("plain"), change))
    assert "never answered" not in verdict.summary


def test_bare_captures_that_end_before_it_prove_nothing(load):
    def change(chain):
        unanswered(1)(chain)
        for frame in [*chain.find("client-eth0", "syn", 1), *chain.find("clientnic-eth0", "syn", 1)]:
            frame.time_ns += 100_000_000
        late = chain.find("client-eth0", "syn", 1)[0]
        chain.taps["client-eth0"].append(replace(late, time_ns=late.time_ns + 1_500_000_000))

    verdict = delivery()(load(Recipe("plain"), change, sidecar=False))
    assert verdict.outcome is Outcome.INCONCLUSIVE
