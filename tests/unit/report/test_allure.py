"""Parameters and the story of a test, from its folder in the run directory."""

from __future__ import annotations

import json

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.report import evidence
from hopscope.report.allure import Parameter, parameters, render, steps
from hopscope.report.evidence import Case
from hopscope.run import story
from support import runs


@pytest.fixture(autouse=True)
def _decodes_quickly(monkeypatch):
    monkeypatch.setattr(evidence.decoded, "_tshark", lambda *args: "")


def test_parameters_are_what_tells_tests_apart_and_what_was_measured(tmp_path):
    case = runs.case(tmp_path)
    sidecar = case.windows[0] / "taps.json"
    document = json.loads(sidecar.read_text())
    document["sut"].append({"event": "ready", "host": "clientnic", "datapath": "afpacket"})
    sidecar.write_text(json.dumps(document))
    assert parameters(case) == [
        Parameter("topology", "chain"),
        Parameter("RTT declared", "20 ms"),
        Parameter("RTT achieved", "20.31 ms", measured=True),
        Parameter("SUT", "stamp"),
        Parameter("placement", "stamp"),
        Parameter("datapath", "afpacket"),
    ]


def test_a_replay_knows_its_sut_from_the_captures(tmp_path):
    case = runs.case(tmp_path)
    (case.directory / story.FILE).unlink()
    sidecar = case.windows[0] / "taps.json"
    document = json.loads(sidecar.read_text())
    document["sut"].append({"event": "sut_started", "sut": "hold", "placement": "hold", "time_ns": 1})
    sidecar.write_text(json.dumps(document))
    assert parameters(case)[-2:] == [Parameter("SUT", "hold"), Parameter("placement", "hold")]


def test_the_story_is_the_lab_what_was_done_and_the_verdicts(tmp_path):
    case = runs.case(tmp_path, "plain", expect="stamp", kind="product")
    told = steps(case)
    assert [step.title for step in told[:2]] == [
        "The lab was built and proven, once for its tests",
        "SUT stamp started",
    ]
    assert told[-1].title.startswith("Verdicts: ")
    assert told[-1].status == "failed"
    parts = {step.title.partition(":")[0]: step.status for step in told[-1].steps}
    assert (parts["placement"], parts["checksums"], parts["translation"]) == ("failed", "passed", "skipped")


def test_verdicts_that_a_test_expected_are_said_to_be(tmp_path):
    told = steps(runs.case(tmp_path, "plain", expect="stamp"))
    assert next(part.title for part in told[-1].steps if part.status == "failed").endswith(", as the test expected")


def test_a_step_that_a_fault_ended_is_shown_as_its_fault(tmp_path):
    case = runs.case(tmp_path, kind="environment")
    with pytest.raises(EnvironmentFault), story.step(case.lab, "Idle round trip measured"):
        raise EnvironmentFault("not as declared")
    with story.step(case.directory, "Traffic: 3 of 4", outcomes={"ok": 3, "reset": 1}):
        pass
    lab, _, traffic, *_ = steps(case)
    assert (lab.title, lab.status, lab.steps[-1].status) == ("The lab could not be had", "broken", "broken")
    assert traffic.status == "failed"
    passed = Case(case.run, case.directory, case.lab)
    assert steps(passed)[2].status == "passed", "connections that fail may be what a test is about"


def test_a_long_story_is_folded_in_the_middle(tmp_path):
    case = runs.case(tmp_path)
    for number in range(60):
        with story.step(case.directory, f"block {number}"):
            pass
    told = [step for step in steps(case) if not step.title.startswith(("The lab", "Verdicts"))]
    assert len(told) < 25
    folded = next(step for step in told if "more steps" in step.title)
    assert len(folded.steps) + len(told) - 1 == 61, "none is left out"
    assert [step.start_ms for step in told] == sorted(step.start_ms for step in told)


@pytest.mark.parametrize(
    ("kind", "attach", "first", "everything"),
    [
        (None, "failed", "The lab was built", False),
        (None, "always", "Start here", True),
        ("product", "failed", "Start here", True),
        ("harness", "failed", "Start here", True),
        ("product", "never", "The lab was built", False),
    ],
)
def test_how_much_is_attached(tmp_path, kind, attach, first, everything):
    work = tmp_path / "work"
    work.mkdir()
    rendered = render(runs.case(tmp_path, kind=kind), work, attach=attach)
    assert rendered.steps[0].title.startswith(first)
    assert rendered.links[0][1].endswith("/tests/test_x.test_x")
    assert any(step.title == "Captures of each tap" for step in rendered.steps) == everything
    assert bool(rendered.attachments) == (kind is None and attach == "failed")


def test_a_test_without_a_folder_or_a_lab_has_nothing_to_tell(tmp_path):
    rendered = render(Case(tmp_path, None, None), tmp_path, attach="failed")
    assert (rendered.parameters, rendered.steps, rendered.attachments, rendered.links) == ([], [], [], [])
