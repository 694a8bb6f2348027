"""Capture health: what makes a capture worthless as evidence for what it does not show."""

from __future__ import annotations

import pytest

from hopscope.checks.capture_health import capture_health, unhealthy
from hopscope.checks.judge import judge_folder
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import START_NS, Recipe

TAP = "servernic-eth0"


def fact(**facts):
    return lambda chain: chain.tap_facts[TAP].update(facts)


def clear_one(chain):
    chain.taps[TAP] = []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (fact(dropped=1), "dropped 1"),
        (fact(received=10_000), "captured"),
        (fact(captured=5, received=5), "packets in the file"),
        (fact(live_ns=START_NS + 50_000_000), "after a flow's first frame"),
        (clear_one, "an empty capture"),
    ],
)
def test_an_unsound_capture_is_inconclusive(change, reason, load):
    verdict = capture_health()(load(Recipe("stamp"), change))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert reason in verdict.summary
    assert {item.tap for item in verdict.evidence} == {f"{TAP}.pcap"}


def test_frames_before_the_first_flow_do_not_matter(load):
    """ARP may come by while the capture program still says that it is about to listen."""
    assert capture_health()(load(Recipe("stamp"), fact(live_ns=START_NS - 10_000))).outcome is Outcome.PASS


def test_taps_that_were_never_live_together(load):
    def apart(chain):
        chain.tap_facts["client-eth0"]["end_ns"] = START_NS - 600_000_000

    assert capture_health()(load(Recipe("stamp"), apart)).outcome is Outcome.INCONCLUSIVE


def test_a_file_cut_short(tmp_path):
    folder = golden.write(golden.build(Recipe("stamp")), tmp_path)
    path = folder / f"{TAP}.pcap"
    path.write_bytes(path.read_bytes()[:-7])
    judgement = judge_folder(folder)
    verdict = judgement.verdicts[0]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "middle of a record" in verdict.summary
    assert all(v.outcome is not Outcome.PASS for v in judgement.verdicts)


def test_an_empty_capture_with_sound_counters_is_evidence_that_nothing_came(load):
    trace = load(Recipe("stamp"), clear_one)
    assert unhealthy(trace) == ()


def test_without_counters_it_does_not_apply(load):
    verdict = capture_health()(load(Recipe("stamp"), sidecar=False))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "no counters" in verdict.summary
