"""Judgements: outcome, exit code, JSON and text."""

from __future__ import annotations

import json
import random

import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.expectation import Expectation, expectation, standard
from hopscope.checks.judge import judge_folder, judge_trace
from hopscope.checks.text import details, render, table
from hopscope.checks.verdict import Outcome
from support import golden
from support.golden import Recipe
from support.golden_folders import ROOT


@pytest.mark.parametrize(
    ("folder", "claim", "code"),
    [
        ("plain", None, 0),
        ("plain", "plain", 0),
        ("plain", "stamp", 1),
        ("hold", None, 0),
        ("hold", "hold", 0),
        ("hold", "stamp", 1),
        ("stamp", None, 0),
        ("stamp", "stamp", 0),
        ("stamp", "plain", 1),
        ("foreign-naive", None, 1),
    ],
)
def test_exit_code(folder, claim, code):
    assert judge_folder(ROOT / folder, claim).exit_code == code


def test_environment_wins_over_product(load):
    def both(chain):
        golden.change(chain, "client-eth0", "request", spoil="partial")
        golden.change(chain, "clientnic-eth0", "spoof", time_ns=lambda time_ns: time_ns + 30_000_000)

    judgement = judge_trace(load(Recipe("stamp"), both))
    assert {v.check for v in judgement.verdicts if v.outcome is Outcome.FAIL} == {"ordering", "checksums"}
    assert judgement.exit_code == 2


def test_inconclusive_alone_is_3(load):
    judgement = judge_trace(load(Recipe("stamp"), lambda chain: chain.tap_facts["client-eth0"].update(dropped=1)))
    assert (judgement.outcome, judgement.exit_code) == (Outcome.INCONCLUSIVE, 3)


@pytest.mark.parametrize("placement", ["stamp", "hold", "plain"])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_captures_have_missed_is_nobodys_fault(load, placement, seed):
    """One packet of five is missing at each tap, as on a machine that cannot keep up, and the counters say so."""
    chance = random.Random(seed)

    def missed(chain):
        for tap, frames in chain.taps.items():
            kept = [frame for frame in frames if chance.random() > 0.2]
            chain.tap_facts[tap].update(dropped=len(frames) - len(kept))
            frames[:] = kept

    judgement = judge_trace(load(Recipe(placement, flows=6), missed))
    assert not {v.check: v.summary for v in judgement.verdicts if v.outcome is Outcome.FAIL}
    assert judgement.exit_code == 3


def test_what_a_capture_that_missed_others_does_hold_is_believed(load):
    def spoilt(chain):
        golden.change(chain, "client-eth0", "request", spoil="l4")
        chain.tap_facts["client-eth0"].update(dropped=1)

    judgement = judge_trace(load(Recipe("stamp"), spoilt))
    assert [v.check for v in judgement.verdicts if v.outcome is Outcome.FAIL] == ["checksums"]


def test_json_schema():
    document = json.loads(json.dumps(judge_folder(ROOT / "stamp", "stamp").to_json(), allow_nan=False))
    assert list(document) == [
        "schema", "source", "claim", "outcome", "exit_code", "taps", "flows", "whole", "placements", "verdicts",
        "latencies", "observations", "rtt_ns", "notes",
    ]  # fmt: skip
    assert (document["schema"], document["outcome"], document["placements"]) == (1, "PASS", {"stamp": 2})
    assert [tap["position"] for tap in document["taps"]] == [
        "client", "clientnic_lan", "clientnic_wan", "servernic_wan", "servernic_lan", "server",
    ]  # fmt: skip
    ttfb = next(one for one in document["latencies"] if one["metric"] == "ttfb")
    assert ttfb["n"] == 2
    assert ttfb["p50_low_ns"] is None  # two samples bound nothing
    assert 20e6 < ttfb["p50_ns"] < 21e6


def test_latencies_follow_the_model(load):
    """FIELD: plain ttfb is two round trips, `stamp` one, `hold` two with the client free at once."""
    seen = {}
    for placement in ("plain", "hold", "stamp"):
        judgement = judge_trace(load(Recipe(placement, flows=20)))
        seen[placement] = {one.metric: one.p50 / 20e6 for one in judgement.latencies}
    assert [round(seen[p]["ttfb"], 1) for p in ("plain", "hold", "stamp")] == [2.0, 2.0, 1.0]
    assert [round(seen[p]["send_unlock"], 1) for p in ("plain", "hold", "stamp")] == [1.0, 0.0, 0.0]


def test_text_of_a_pass():
    text = render(judge_folder(ROOT / "stamp"))
    assert "PASS  ordering" in text
    assert "2 stamp" in text
    assert "ttfb" in text
    assert "expected" not in text


def test_text_of_a_failure_names_flow_tap_frame_and_filter(load):
    def late(chain):
        golden.change(chain, "clientnic-eth0", "spoof", time_ns=lambda time_ns: time_ns + 30_000_000)

    text = render(judge_trace(load(Recipe("stamp"), late)))
    assert "FAIL" in text
    assert "10.1.0.10:40000 > 10.1.2.10:8080  clientnic-eth0.pcap frame " in text
    assert "ip.addr==10.1.0.10 && tcp.port==40000 && ip.addr==10.1.2.10 && tcp.port==8080" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_text_is_short_for_many_failures(load):
    def spoil(chain):
        for frames in chain.taps.values():
            for frame in frames:
                frame.spoil = "l4"

    verdict = checksums()(load(Recipe("stamp"), spoil))
    lines = details(verdict, shown=2)
    assert len(lines) < 12
    assert lines[-1] == f"    and {verdict.failed - 2:,} more"


def test_expectation_of_named_checks_and_of_all(load):
    trace = load(Recipe("stamp"))
    assert [v.check for v in expectation(checksums()).judge(trace)] == ["checksums"]
    assert len(expectation().judge(trace)) == len(standard())


def test_a_claim_is_told_to_the_checks_that_take_one(load):
    trace = load(Recipe("plain"))
    verdicts = {v.check: v.outcome for v in Expectation(standard(), "hold").judge(trace)}
    assert verdicts["placement"] is Outcome.FAIL
    assert verdicts["carried_by"] is Outcome.FAIL
    assert verdicts["ordering"] is Outcome.FAIL


def test_names_are_unique():
    names = [check.name for check in standard()]
    assert len(set(names)) == len(names)


def test_table_aligns():
    assert table([("a", "bb", "c"), ("aaa", "b", "cc")]) == ["a    bb  c", "aaa  b   cc"]
    assert table([]) == []
