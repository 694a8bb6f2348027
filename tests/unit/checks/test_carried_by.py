"""Carried by: the naive rewriter whose kernel won the race, and single segments that slip past the box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.carried_by import carried_by
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import Recipe

NEAR = {"hold": "clientnic-eth0", "stamp": "servernic-eth0", "early": "servernic-eth0"}
FAR = {"hold": "clientnic-eth1", "stamp": "servernic-eth1", "early": "servernic-eth1"}
PLACEMENTS = sorted(NEAR)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_the_naive_rewriter(placement, rejects):
    """Every connection succeeds, and the box's SYN-ACK comes a few round trips late."""
    verdict = rejects(carried_by(), Recipe(placement, carried=True), lambda chain: None, "the server's real SYN-ACK")
    assert verdict.failed == 3


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_one_real_synack_beside_the_boxs_own(placement, rejects):
    def leak(chain):
        real = chain.find(FAR[placement], "synack")[0]
        chain.taps[NEAR[placement]].append(replace(real, time_ns=real.time_ns + 20_000))

    verdict = rejects(carried_by(), Recipe(placement), leak, "the server's real SYN-ACK")
    assert verdict.failed == 1


@pytest.mark.parametrize("label", ["response", "again", "fin-server"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_a_segment_without_its_delta_towards_the_client(placement, label, rejects):
    flow = 1 if label == "again" else 0

    def slip(chain):
        raw = chain.find(FAR[placement], label, flow)[0].seq
        golden.change(chain, NEAR[placement], label, flow=flow, seq=raw)

    rejects(carried_by(), Recipe(placement), slip, "as on the other side of the box")


@pytest.mark.parametrize("label", ["ack", "request", "ack-last"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rejects_a_segment_without_its_delta_towards_the_server(placement, label, rejects):
    def slip(chain):
        raw = chain.find(NEAR[placement], label)[0].ack
        golden.change(chain, FAR[placement], label, ack=raw)

    rejects(carried_by(), Recipe(placement), slip, "its flow's delta applied")


def test_plain_and_nothing_claimed_is_not_concerned(load):
    verdict = carried_by()(load(Recipe("plain")))
    assert verdict.outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("claim", PLACEMENTS)
def test_plain_against_a_claim_is_carried_by_the_kernel(claim, load):
    verdict = carried_by(claim)(load(Recipe("plain")))
    assert (verdict.outcome, verdict.failed) == (Outcome.FAIL, 3)


def test_a_claim_of_plain_is_not_concerned(load):
    assert carried_by("plain")(load(Recipe("stamp"))).outcome is Outcome.NOT_APPLICABLE


def mixed(chain):
    """Three plain flows behind the rewritten ones."""
    other = golden.build(Recipe("plain", first_port=45000, seed=5, background=False))
    for tap, frames in other.taps.items():
        for frame in frames:
            frame.time_ns += 500_000_000
        chain.taps[tap] += frames


def test_plain_among_rewritten_needs_to_be_told(load):
    verdict = carried_by()(load(Recipe("stamp"), mixed))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "3 plain" in verdict.summary


@pytest.mark.parametrize(("stopped_ms", "outcome"), [(400, Outcome.PASS), (900, Outcome.FAIL)])
def test_the_runs_own_record_says_who_should_have_carried(stopped_ms, outcome, load):
    def recorded(chain):
        mixed(chain)
        begin = golden.START_NS - 1_000_000
        chain.sidecar["sut"] += [
            {"event": "sut_started", "sut": "stamp", "placement": "stamp", "time_ns": begin},
            {"event": "sut_stopped", "sut": "stamp", "placement": "stamp", "time_ns": begin + stopped_ms * 1_000_000},
        ]

    assert carried_by()(load(Recipe("stamp"), recorded)).outcome is outcome


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_without_the_servers_side_nothing_is_concluded(placement, load):
    verdict = carried_by()(load(Recipe(placement), only=("client-eth0", "clientnic-eth0")))
    assert verdict.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)


@pytest.mark.parametrize(
    "only", [("client-eth0", "clientnic-eth0"), ("client-eth0", "clientnic-eth1"), ("client-eth0",)]
)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_two_answers_tell_the_naive_rewriter_from_the_clients_side_alone(placement, only, load):
    verdict = carried_by()(load(Recipe(placement, carried=True), only=only, sidecar=False))
    assert (verdict.outcome, verdict.failed) == (Outcome.FAIL, 3)
    assert len(verdict.evidence[0].frames) >= 1


@pytest.mark.parametrize("claim", [None, "stamp", "plain"])
def test_rejects_a_box_that_ended_by_itself(claim, rejects):
    def die(chain):
        chain.sidecar["sut"] = [*chain.sidecar["sut"], {"event": "died", "host": "clientnic", "returncode": -11}]

    verdict = rejects(carried_by(claim), Recipe("stamp"), die, "clientnic ended by itself with -11")
    assert verdict.exit_code == 1
