"""What a box does to the options of a handshake, and what it sends to an end that has not agreed to it."""

from __future__ import annotations

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.options import options
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe

OFF = {"opt_tsval": -1, "opt_tsecr": 0}


def handshake(chain, label, taps, **fields):
    golden.change_all(chain, label, taps=taps, flow=0, **fields)


@pytest.mark.parametrize("recipe", [Recipe("plain"), Recipe("hold"), Recipe("stamp"), Recipe("early", options=False)])
def test_accepts_what_is_passed_on(recipe, load):
    verdict = options()(load(recipe))
    assert (verdict.outcome, verdict.judged) == (Outcome.PASS, 3)


@pytest.mark.parametrize(
    ("placement", "label", "taps", "fields", "words"),
    [
        ("plain", "syn", TAPS[2:], {"opt_mss": 1461}, "MSS raised"),
        ("stamp", "syn", TAPS[4:], {"opt_mss": 8960}, "MSS raised"),
        ("plain", "syn", TAPS[2:], {"opt_wscale": 8}, "window scale changed"),
        ("plain", "synack", TAPS[:4], {"opt_mss": 1500}, "MSS raised"),
        ("plain", "synack", TAPS[:2], {"opt_wscale": 9}, "window scale changed"),
    ],
)
def test_rejects_what_grows_through_a_box(placement, label, taps, fields, words, rejects):
    rejects(options(), Recipe(placement), lambda chain: handshake(chain, label, taps, **fields), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"opt_sack_permitted": False}, "SACK offered by nobody"),
        ({"opt_tsval": -1}, "timestamps offered by nobody"),
        ({"opt_wscale": -1}, "window scale changed"),
        ({"opt_mss": -1}, "MSS raised"),
    ],
)
@pytest.mark.parametrize(("label", "taps"), [("syn", TAPS[:2]), ("synack", TAPS[2:])])
def test_rejects_what_comes_in_a_box(label, taps, fields, words, rejects):
    rejects(options(), Recipe("plain"), lambda chain: handshake(chain, label, taps, **fields), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"opt_sack_permitted": False}, "SACK answered that was not asked for"),
        ({"opt_tsval": -1}, "timestamps answered that was not asked for"),
        ({"opt_wscale": -1}, "window scale answered that was not asked for"),
    ],
)
@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_rejects_an_answer_to_what_was_not_offered(placement, fields, words, rejects):
    rejects(options(), Recipe(placement), lambda chain: handshake(chain, "syn", TAPS, **fields), words)


@pytest.mark.parametrize("placement", ["hold", "stamp"])
def test_rejects_timestamps_for_a_server_that_has_not_agreed(placement, rejects):
    verdict = rejects(
        options(), Recipe(placement), lambda chain: handshake(chain, "synack", TAPS, **OFF), "timestamps not agreed to"
    )
    assert {each.tap for each in verdict.evidence} == {"servernic-eth1.pcap"}


def test_rejects_sack_blocks_for_a_server_that_has_not_agreed(rejects):
    def change(chain):
        golden.change_all(chain, "synack", flow=1, opt_sack_permitted=False)

    verdict = rejects(options(), Recipe("stamp"), change, "SACK blocks not agreed to")
    assert verdict.metrics["SACK blocks not agreed to"] == 1


def test_an_end_that_does_so_by_itself_is_no_box_s_doing(load):
    """The same agreement on both sides, and the client sends timestamps all the same."""

    def change(chain):
        for label in ("spoof", "synack"):
            handshake(chain, label, TAPS, **OFF)

    assert options()(load(Recipe("hold"), change)).outcome is Outcome.PASS


def test_taking_out_what_the_server_has_not_agreed_to_is_right(load):
    """Timestamps are promised by the box, not by the server: they end at the box, and nothing comes back."""

    def change(chain):
        for label in ("synack", "response", "fin-server"):
            handshake(chain, label, TAPS, **OFF)
        for label in ("ack", "request", "ack-response", "fin-client", "ack-last"):
            handshake(chain, label, TAPS[4:], **OFF)

    verdicts = {each.check: each for each in Expectation(standard()).judge(load(Recipe("stamp", lose=False), change))}
    assert {name: verdicts[name].outcome for name in ("options", "translation")} == dict.fromkeys(
        ("options", "translation"), Outcome.PASS
    )


@pytest.mark.parametrize(("label", "taps", "side"), [("synack", TAPS[4:], "server"), ("syn", TAPS, "client")])
def test_rejects_segments_larger_than_an_end_takes(label, taps, side, rejects):
    def change(chain):
        handshake(chain, label, taps, opt_mss=1000)
        if side == "server":
            for tap in TAPS:
                golden.change(chain, tap, "request", payload=bytes(1200))

    words = "segment larger than the MSS"
    verdict = rejects(options(), Recipe("stamp"), change, words)
    assert verdict.evidence[0].tap.startswith("servernic-eth1" if side == "server" else "clientnic-eth0")


@pytest.mark.parametrize("fact", [{"offloads": True}, {"captured": None}])
def test_merged_segments_have_no_size(fact, load):
    def change(chain):
        handshake(chain, "syn", TAPS, opt_mss=1000)
        chain.tap_facts["clientnic-eth0"].update(fact)

    trace = load(Recipe("plain"), change)
    assert "segment larger than the MSS" not in options()(trace).metrics


def test_less_than_was_offered_is_a_box_s_right(load):
    def change(chain):
        handshake(chain, "syn", TAPS[2:], opt_mss=1300, opt_sack_permitted=False)
        handshake(chain, "synack", TAPS[2:], opt_sack_permitted=False)

    assert options()(load(Recipe("stamp"), change)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("recipe", "only", "outcome"),
    [
        (Recipe("plain"), TAPS[:2], Outcome.NOT_APPLICABLE),
        (Recipe("stamp"), TAPS[:1], Outcome.NOT_APPLICABLE),
        (Recipe("plain"), TAPS[:3], Outcome.PASS),
    ],
)
def test_fewer_taps_judge_less(recipe, only, outcome, load):
    assert options()(load(recipe, only=only)).outcome is outcome


def test_a_claim_without_boxes_in_sight_is_inconclusive(load):
    assert options("stamp")(load(Recipe("stamp"), only=TAPS[:1])).outcome is Outcome.INCONCLUSIVE
