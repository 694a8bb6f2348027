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


def end(milliseconds):
    def change(chain):
        for facts in chain.tap_facts.values():
            facts["end_ns"] = START_NS + milliseconds * 1_000_000

    return change


def test_a_flow_that_live_captures_should_have_held_is_a_gap(load):
    """Flow 0 has closed at 80 ms; the others go on, and close outside of the time that the captures vouch for."""
    trace = load(Recipe("stamp", spacing_ms=50), end(80))
    assert trace.whole.tolist() == [True, False, False]
    verdict = capture_health()(trace)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "2 flows not wholly within the captures and not judged, such as 10.1.0.10:40001 > " in verdict.summary


def test_connections_that_go_on_at_the_end_are_no_gap(load):
    trace = load(Recipe("stamp", close="open", spacing_ms=50), end(80))
    assert trace.whole.tolist() == [True, False, False]
    assert capture_health()(trace).outcome is Outcome.PASS
    assert "2 of 3 flows do not lie wholly within the captures and are not judged" in trace.notes


def test_a_flow_without_its_syn_is_no_gap(load):
    def began_before(chain):
        golden.drop_from(chain, "syn", golden.TAPS)

    trace = load(Recipe("stamp"), began_before)
    assert trace.whole.tolist() == [False, True, True]
    assert capture_health()(trace).outcome is Outcome.PASS


def test_a_flow_without_its_syn_at_the_client_alone_is_a_gap(load):
    def lost(chain):
        golden.drop_from(chain, "syn", ("client-eth0",), flow=1)

    assert "1 flow not wholly within" in capture_health()(load(Recipe("stamp"), lost)).summary
