"""Placement: each claim against each kind of trace."""

from __future__ import annotations

import pytest

from hopscope.checks.placement import CLAIMS, placement
from hopscope.checks.verdict import Outcome
from hopscope.errors import UsageError
from support import golden
from support.golden import TAPS, Recipe


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("real", CLAIMS)
def test_claim_against_trace(claim, real, load):
    verdict = placement(claim)(load(Recipe(real)))
    assert verdict.outcome is (Outcome.PASS if claim == real else Outcome.FAIL)
    if claim != real:
        assert verdict.evidence[0].seen == real
        assert verdict.evidence[0].frames


def test_a_stamp_that_is_missing_is_not_a_stamp(load):
    def unstamped(chain):
        golden.change_all(chain, "syn", taps=("clientnic-eth1", "servernic-eth0"), flow=1, ack=0)

    verdict = placement("stamp")(load(Recipe("stamp"), unstamped))
    assert (verdict.outcome, verdict.failed) == (Outcome.FAIL, 1)


def test_a_flow_that_nobody_answered_fails_the_claim(load):
    def silent(chain):
        for frames in chain.taps.values():
            frames[:] = [frame for frame in frames if frame.flow != 0 or frame.label == "syn"]

    verdict = placement("hold")(load(Recipe("hold"), silent))
    assert (verdict.outcome, verdict.failed) == (Outcome.FAIL, 1)
    assert "never answered" in verdict.evidence[0].seen


def test_nothing_claimed_does_not_apply(load):
    verdict = placement()(load(Recipe("stamp")))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "3 stamp" in verdict.summary


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_clients_side_alone_cannot_tell(claim, load):
    assert placement(claim)(load(Recipe("stamp"), only=TAPS[:2])).outcome is Outcome.INCONCLUSIVE


def test_an_unknown_claim_is_the_askers_mistake():
    with pytest.raises(UsageError, match="stamp, hold, plain"):
        placement("holde")
