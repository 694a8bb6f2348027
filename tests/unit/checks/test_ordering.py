"""Ordering: late answers fail at the box, at the client and by the shared clock; plain TCP is not concerned."""

from __future__ import annotations

import pytest

from hopscope.checks.ordering import ordering
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import START_NS, Recipe

AHEAD = 30_000_000


def later(by):
    return lambda time_ns: time_ns + by


def synack_late_at_the_box(chain):
    golden.change(chain, "clientnic-eth0", "spoof", time_ns=later(AHEAD))


def answer_reaches_the_box_first(chain):
    golden.change(chain, "clientnic-eth0", "spoof", time_ns=later(50_000))
    first = chain.find("clientnic-eth1", "response")[0]
    first.time_ns = chain.find("clientnic-eth0", "spoof")[0].time_ns - 1


def no_synack_at_all(chain):
    golden.drop_from(chain, "spoof", ("clientnic-eth0",))


def client_free_late(chain):
    """The SYN-ACK comes to the client after a round trip, and so does everything that follows from it."""
    golden.change(chain, "client-eth0", "spoof", time_ns=later(AHEAD))
    for label in ("ack", "request"):
        golden.change(chain, "client-eth0", label, time_ns=later(AHEAD))


def synack_reaches_the_client_after_the_real_one_could(chain):
    golden.change(chain, "client-eth0", "spoof", time_ns=later(20_150_000))


STAMP, HOLD = Recipe("stamp"), Recipe("hold")
MUTATIONS = [
    (STAMP, synack_late_at_the_box, "after it"),
    (HOLD, synack_late_at_the_box, "after it"),
    (STAMP, answer_reaches_the_box_first, "0.000 ms after it"),
    (STAMP, no_synack_at_all, "no SYN-ACK at all"),
    (STAMP, client_free_late, "first payload less than 20"),
    (HOLD, client_free_late, "first payload less than 20"),
    (STAMP, synack_reaches_the_client_after_the_real_one_could, "before the server's real one could have been there"),
    (Recipe("early"), client_free_late, "first payload less than 20"),
    (Recipe("stamp", zero_window="late"), lambda chain: None, "zero window, and nothing opened it in time"),
    (Recipe("hold", zero_window="late"), lambda chain: None, "zero window, and nothing opened it in time"),
    (Recipe("hold", carried=True), lambda chain: None, "answered too late"),
]


@pytest.mark.parametrize(("recipe", "change", "reason"), MUTATIONS)
def test_rejects(recipe, change, reason, rejects):
    rejects(ordering(), recipe, change, reason)


def test_plain_is_not_concerned(load):
    assert ordering()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE


def test_plain_fails_a_claim(load):
    assert ordering("stamp")(load(Recipe("plain"))).outcome is Outcome.FAIL


@pytest.mark.parametrize("recipe", [STAMP, HOLD])
def test_every_clause_is_judged(recipe, load):
    assert ordering()(load(recipe)).metrics["clauses"] == 3


def test_hosts_with_clocks_of_their_own_lose_the_third_clause_only(load):
    verdict = ordering()(load(Recipe("stamp", offsets_ns=(0, -9_000_000_000, 7_000_000_000, 0))))
    assert (verdict.outcome, verdict.metrics["clauses"]) == (Outcome.PASS, 2)


def test_an_application_that_speaks_late_is_not_the_boxs_fault(load):
    """Free in time, window open, and silent: neither a pass nor the product's failure."""

    def idle(chain):
        golden.change(chain, "client-eth0", "request", time_ns=later(AHEAD))

    verdict = ordering()(load(STAMP, idle))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "spoke late" in verdict.summary


def test_a_client_that_acknowledges_late_is_not_the_boxs_fault_either(load):
    def slow(chain):
        for label in ("ack", "request"):
            golden.change(chain, "client-eth0", label, time_ns=later(20_000_000))

    assert "spoke late" in ordering()(load(STAMP, slow)).summary


def test_an_answer_that_the_client_did_not_accept_does_not_free_it(load):
    def refused(chain):
        golden.change(chain, "client-eth0", "spoof", seq=lambda seq: seq + 1)
        for label in ("ack", "request"):
            golden.change(chain, "client-eth0", label, time_ns=later(20_000_000))

    assert ordering()(load(STAMP, refused)).outcome is Outcome.FAIL


def test_one_late_application_in_many_does_not_hide_the_rest(load):
    def idle(chain):
        golden.change(chain, "client-eth0", "request", time_ns=later(AHEAD))

    verdict = ordering()(load(Recipe("stamp", flows=30), idle))
    assert (verdict.outcome, verdict.metrics["undecided"]) == (Outcome.PASS, 1)


def test_a_round_trip_below_a_millisecond_leaves_the_clients_clause_out(load):
    verdict = ordering()(load(Recipe("stamp", rtt_ms=0.2)))
    assert verdict.outcome is Outcome.PASS
    assert "cannot be resolved" in verdict.summary


def test_equal_times_are_undecided(load):
    """Captures in microseconds can give two frames one time."""

    def same(chain):
        for flow in range(3):
            golden.change(chain, "clientnic-eth0", "spoof", flow=flow, time_ns=later(50_000))
            answer = chain.find("clientnic-eth1", "response", flow)[0]
            answer.time_ns = chain.find("clientnic-eth0", "spoof", flow)[0].time_ns

    assert ordering()(load(STAMP, same)).outcome is Outcome.INCONCLUSIVE


def test_without_clientnics_captures_the_client_still_tells(load):
    verdict = ordering()(load(STAMP, only=("client-eth0", "servernic-eth0", "servernic-eth1", "server-eth0")))
    assert verdict.outcome is Outcome.PASS
    assert "not both captured" in verdict.summary


@pytest.mark.parametrize(("first_ms", "failed"), [(-1, 3), (3, 2)])
def test_rejects_plain_tcp_while_a_translating_system_is_on_the_path(first_ms, failed, rejects):
    def on_the_path(chain):
        event = {"event": "sut_started", "sut": "stamp", "placement": "stamp"}
        chain.sidecar["sut"] = [event | {"time_ns": START_NS + first_ms * 1_000_000}]

    verdict = rejects(ordering(), Recipe("plain"), on_the_path, "the server itself answered")
    assert verdict.failed == failed
