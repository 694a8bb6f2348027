"""Packets of a flow that add up from tap to tap, and those that do not."""

from __future__ import annotations

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.identities import identities
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe


@pytest.mark.parametrize("placement", ["hold", "stamp", "early"])
@pytest.mark.parametrize("lose", [False, True])
def test_a_whole_chain_adds_up(placement, lose, load):
    verdict = identities()(load(Recipe(placement, lose=lose)))
    assert (verdict.outcome, verdict.judged) == (Outcome.PASS, 2 if lose else 3)


@pytest.mark.parametrize("behind", [TAPS[2:], TAPS[4:]])
@pytest.mark.parametrize("placement", ["hold", "stamp", "early"])
def test_rejects_an_acknowledgement_that_went_missing_in_a_box(placement, behind, rejects):
    change = lambda chain: golden.drop_from(chain, "ack-last", behind)  # noqa: E731
    rejects(identities(), Recipe(placement), change, f"packets at {behind[0]}")


@pytest.mark.parametrize("behind", [TAPS[1:], TAPS[3:], TAPS[5:]])
def test_an_acknowledgement_that_a_link_lost_is_a_loss(behind, load):
    verdict = identities()(load(Recipe("stamp"), lambda chain: golden.drop_from(chain, "ack-last", behind)))
    assert (verdict.outcome, verdict.judged) == (Outcome.PASS, 1)


def test_a_box_that_completes_handshakes_by_itself_adds_up(load):
    def completed(chain):
        for tap in TAPS[4:]:
            for flow in range(3):
                ack = chain.find(tap, "ack", flow)[0]
                chain.taps[tap].append(golden.replace(ack, time_ns=ack.time_ns - 1_000))

    assert identities()(load(Recipe("stamp", lose=False), completed)).outcome is Outcome.PASS


def test_rejects_a_second_answer(rejects):
    """Of the same number: a flow in which it is the box's own is repetition and is not counted."""

    def more(chain):
        for tap in TAPS[2:4]:
            answer = chain.find(tap, "response", 2)[0]
            chain.taps[tap].append(golden.replace(answer, flags=18, payload=b"", seq=answer.seq - 1))

    rejects(identities(), Recipe("stamp", lose=False), more, "SYN-ACKs at servernic-eth0")


def test_what_is_lost_and_repeated_is_not_counted(load):
    def lossy(chain):
        for flow in range(3):
            golden.drop_from(chain, "request", TAPS[3:], flow=flow)

    assert identities()(load(Recipe("stamp"), lossy)).outcome is Outcome.INCONCLUSIVE


def test_an_end_that_is_sent_again_is_repetition(load):
    """A box that holds it already need not pass it on a second time."""

    def again(chain):
        for tap in TAPS[:2]:
            fin = chain.find(tap, "fin-client")[0]
            chain.taps[tap].append(golden.replace(fin, time_ns=fin.time_ns + 7_000_000))

    verdict = identities()(load(Recipe("hold", lose=False), again))
    assert (verdict.outcome, verdict.judged) == (Outcome.PASS, 2)


def test_plain_tcp_is_not_concerned(load):
    assert identities()(load(Recipe("plain"))).outcome is Outcome.NOT_APPLICABLE


def told_to(*promises, placement="stamp"):
    """A change of a chain: the run put systems on the path, each with these promises."""
    started = {"event": "sut_started", "sut": "mine", "placement": placement, "time_ns": golden.START_NS - 1}
    return lambda chain: chain.sidecar["sut"].extend(started | {"promises": each} for each in promises)


@pytest.mark.parametrize(
    ("promises", "outcome"),
    [
        ((["identities"],), Outcome.FAIL),
        ((["identities"], ["identities"]), Outcome.FAIL),
        ((["identities"], []), Outcome.NOT_APPLICABLE),
        ((["other"],), Outcome.NOT_APPLICABLE),
        ((None,), Outcome.NOT_APPLICABLE),
        (("identities",), Outcome.NOT_APPLICABLE),
        ((), Outcome.NOT_APPLICABLE),
    ],
)
def test_who_promises_is_held_to_it_by_the_standard_checks(promises, outcome, load):
    def one_less(chain):
        golden.drop_from(chain, "ack-last", TAPS[4:])
        told_to(*promises)(chain)

    verdicts = {v.check: v for v in Expectation(standard()).judge(load(Recipe("stamp", lose=False), one_less))}
    assert verdicts["identities"].outcome is outcome


def test_nothing_is_promised_of_flows_with_losses(load):
    def lossy(chain):
        for flow in range(3):
            golden.drop_from(chain, "request", TAPS[3:], flow=flow)
        told_to(["identities"])(chain)

    assert identities(promised=True)(load(Recipe("stamp"), lossy)).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize("only", [TAPS[:1], TAPS[2:]])
def test_what_cannot_be_counted_is_inconclusive(only, load):
    assert identities("stamp")(load(Recipe("stamp"), only=only)).outcome is Outcome.INCONCLUSIVE
