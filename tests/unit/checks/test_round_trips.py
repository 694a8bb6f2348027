"""What an end measures with its handshake, and who is held to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hopscope.checks.expectation import Expectation, standard
from hopscope.checks.round_trips import round_trips
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import TAPS, Recipe


@pytest.mark.parametrize("recipe", [Recipe("plain"), Recipe("plain", rtt_ms=0.1), Recipe("stamp", rtt_ms=0.5)])
def test_what_measures_the_path_passes(recipe, load):
    verdict = round_trips()(load(recipe))
    assert (verdict.outcome, verdict.judged) == (Outcome.PASS, 3)


@pytest.mark.parametrize(("placement", "ends"), [("hold", {"client": 3}), ("stamp", {"client": 3, "server": 3})])
def test_rejects_an_early_answer(placement, ends, load):
    verdict = round_trips()(load(Recipe(placement)))
    assert (verdict.outcome, verdict.failed, dict(verdict.metrics)) == (Outcome.FAIL, 3, ends)
    assert {each.tap.split("-")[0] for each in verdict.evidence} == set(ends)


def sooner(by_ns):
    """A change of plain TCP: the client of flow 1 has its answer so much earlier."""
    return lambda chain: golden.change(chain, "client-eth0", "synack", flow=1, time_ns=lambda at: at - by_ns)


def test_rejects_one_flow_of_three(rejects):
    verdict = rejects(round_trips(), Recipe("plain"), sooner(11_000_000), "1 flow of 3 with a sample that is not")
    assert verdict.evidence[0].flow == "10.1.0.10:40001 > 10.1.2.10:8080"
    assert "handshake of about 20." in verdict.evidence[0].expected


@pytest.mark.parametrize(("rtt_ms", "by_ns"), [(20.0, 9_000_000), (1.5, 900_000)])
def test_half_of_it_or_a_millisecond_less_is_no_fault(rtt_ms, by_ns, load):
    assert round_trips()(load(Recipe("plain", rtt_ms=rtt_ms), sooner(by_ns))).outcome is Outcome.PASS


def asked_twice(echo):
    """A change of `hold`: each client sends its SYN twice before it is answered; None leaves the answer's echo."""

    def change(chain):
        for flow in range(3):
            syn = chain.find("client-eth0", "syn", flow)[0]
            chain.taps["client-eth0"].append(replace(syn, time_ns=syn.time_ns + 1_000))
            if echo is not None:
                golden.change(chain, "client-eth0", "spoof", flow=flow, opt_tsecr=echo)

    return change


@pytest.mark.parametrize(
    ("options", "echo", "outcome"), [(True, None, Outcome.FAIL), (True, 0, Outcome.PASS), (False, None, Outcome.PASS)]
)
def test_who_asked_twice_takes_no_sample_but_of_an_echo(options, echo, outcome, load):
    """The server's end, which `hold` lets measure the path, remains to be judged."""
    verdict = round_trips()(load(Recipe("hold", options=options), asked_twice(echo)))
    assert verdict.outcome is outcome, verdict.summary


@pytest.mark.parametrize("only", [TAPS[1:5], ()])
def test_without_an_end_nothing_can_be_said(only, load):
    how = {"only": only} if only else {}
    trace = load(
        Recipe("stamp"), None if only else lambda chain: setattr(chain, "taps", golden.empty(chain).taps), **how
    )
    assert round_trips()(trace).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("promises", "outcome"), [(["round_trips"], Outcome.FAIL), (["identities"], Outcome.NOT_APPLICABLE)]
)
def test_the_standard_checks_hold_who_promises_to_it(promises, outcome, load):
    def promised(chain):
        started = {"event": "sut_started", "sut": "mine", "placement": "stamp", "time_ns": golden.START_NS - 1}
        chain.sidecar["sut"].append(started | {"promises": promises})

    verdicts = {v.check: v for v in Expectation(standard()).judge(load(Recipe("stamp", lose=False), promised))}
    assert verdicts["round_trips"].outcome is outcome
