from __future__ import annotations

import json
import pickle

import pytest

from hopscope.checks.verdict import EVIDENCE_LIMIT, Evidence, Fault, Outcome, Verdict


def evidence(n: int) -> Evidence:
    return Evidence(f"flow {n}", "tap.pcap", (n,), "this", "that", "tcp")


def test_evidence_is_bounded_and_failures_are_not():
    verdict = Verdict("c", Outcome.FAIL, "s", judged=500, failed=400, evidence=tuple(map(evidence, range(400))))
    assert (len(verdict.evidence), verdict.failed) == (EVIDENCE_LIMIT, 400)


@pytest.mark.parametrize(
    ("outcome", "fault", "code"),
    [
        (Outcome.PASS, Fault.PRODUCT, 0),
        (Outcome.NOT_APPLICABLE, Fault.PRODUCT, 0),
        (Outcome.INCONCLUSIVE, Fault.PRODUCT, 3),
        (Outcome.FAIL, Fault.PRODUCT, 1),
        (Outcome.FAIL, Fault.ENVIRONMENT, 2),
        (Outcome.FAIL, Fault.HARNESS, 3),
    ],
)
def test_exit_codes(outcome, fault, code):
    assert Verdict("c", outcome, "s", fault=fault).exit_code == code


def test_json_keys_are_stable():
    verdict = Verdict("c", Outcome.FAIL, "s", 3, 1, (evidence(1),), {"bytes": 5})
    document = json.loads(json.dumps(verdict.to_json()))
    assert document == {
        "check": "c",
        "outcome": "FAIL",
        "fault": "product",
        "summary": "s",
        "judged": 3,
        "failed": 1,
        "evidence": [
            {"flow": "flow 1", "tap": "tap.pcap", "frames": [1], "expected": "this", "seen": "that", "filter": "tcp"}
        ],
        "metrics": {"bytes": 5.0},
    }
    assert Verdict("c", Outcome.PASS, "s").to_json()["fault"] is None


def test_a_verdict_cannot_be_changed():
    metrics = {"n": 1.0}
    verdict = Verdict("c", Outcome.PASS, "s", metrics=metrics)
    metrics["n"] = 2.0
    assert verdict.metrics["n"] == 1.0
    with pytest.raises(TypeError):
        verdict.metrics["n"] = 3.0  # type: ignore[index]


def test_a_verdict_can_be_sent_to_another_process():
    verdict = Verdict("delivery", Outcome.FAIL, "two lost", judged=3, failed=2, metrics={"bytes": 4.0})
    assert pickle.loads(pickle.dumps(verdict)) == verdict
