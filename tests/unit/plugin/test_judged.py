from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.checks.verdict import Evidence, Fault, Outcome, Verdict
from hopscope.errors import EnvironmentFault, HarnessFault, ProductFault
from hopscope.plugin.judged import Judged, raise_for

PASS = Verdict("a", Outcome.PASS, "all 5", judged=5)
FAIL = Verdict(
    "b", Outcome.FAIL, "1 of 5", judged=5, failed=1, evidence=(Evidence("x>y", "client-eth0", (7,), "seq 1", "seq 2"),)
)
ENVIRONMENT = Verdict("c", Outcome.FAIL, "offload is on", fault=Fault.ENVIRONMENT)
UNSEEN = Verdict("d", Outcome.INCONCLUSIVE, "2 dropped")
ASIDE = Verdict("e", Outcome.NOT_APPLICABLE, "a proxy")


@pytest.mark.parametrize("verdicts", [[PASS], [PASS, ASIDE], []])
def test_a_pass_raises_nothing(verdicts: list[Verdict]) -> None:
    raise_for(verdicts)
    assert all(verdict.outcome in (Outcome.PASS, Outcome.NOT_APPLICABLE) for verdict in verdicts)


@pytest.mark.parametrize(
    ("verdicts", "fault"),
    [
        ([PASS, FAIL, UNSEEN], ProductFault),
        ([PASS, ENVIRONMENT], EnvironmentFault),
        ([FAIL, ENVIRONMENT], ProductFault),
        ([PASS, UNSEEN], HarnessFault),
        ([ASIDE], HarnessFault),
    ],
)
def test_the_worst_verdict_decides_whose_fault_it_is(verdicts: list[Verdict], fault: type[Exception]) -> None:
    with pytest.raises(fault):
        raise_for(verdicts)


def test_the_error_names_flow_tap_frame_and_both_values() -> None:
    with pytest.raises(ProductFault) as caught:
        raise_for([FAIL])
    assert "x>y, client-eth0 frame 7: expected seq 1, seen seq 2" in str(caught.value)


class Said:
    """A check that says what it was told to say."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.name = verdict.check

    def __call__(self, trace: Any) -> Verdict:
        return self.verdict


def test_verdicts_are_written_before_they_are_raised(tmp_path: Path) -> None:
    trace: Any = SimpleNamespace(taps={}, missing=(), sut_events=())
    judged = Judged(trace, tmp_path)
    with pytest.raises(ProductFault):
        judged.expect(Said(PASS), Said(FAIL))
    written = json.loads((tmp_path / "verdicts.json").read_text())
    assert [(each["check"], each["outcome"]) for each in written] == [("a", "PASS"), ("b", "FAIL")]


def test_flows_that_failed_are_fetched_whole_and_no_others(tmp_path: Path) -> None:
    brought: list[Any] = []
    trace: Any = SimpleNamespace(taps={}, missing=(), sut_events=())
    judged = Judged(trace, tmp_path, bring=brought.append)
    judged.judge(Said(PASS), Said(UNSEEN), Said(ENVIRONMENT))
    assert brought == []
    judged.judge(Said(FAIL), Said(FAIL))
    assert brought == [("x>y",)]


def test_verdicts_keep_the_claim_under_which_they_were_reached(tmp_path: Path) -> None:
    judged = Judged(SimpleNamespace(taps={}, missing=(), sut_events=()), tmp_path)  # type: ignore[arg-type]
    judged.judge(Said(PASS))
    judged.judge(Said(Verdict("placement", Outcome.PASS, "5 stamp")), placement="stamp")
    written = json.loads((tmp_path / "verdicts.json").read_text())
    assert [each["claim"] for each in written] == [None, "stamp"]
