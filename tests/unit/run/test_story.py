"""The story of a test: told step by step, however a step ends."""

from __future__ import annotations

import time

import pytest

from hopscope.errors import HarnessFault
from hopscope.run import story


def test_steps_are_read_as_they_were_told(tmp_path):
    folder = tmp_path / "not there yet"
    before = time.time_ns()
    with story.step(folder, "Traffic", asked=5) as step:
        step.title += ": 4 of 5"
        step.facts["outcomes"] = {"ok": 4}
    for error in (HarnessFault("x"), ValueError("y")):
        with pytest.raises(type(error)), story.step(folder, "Fails"):
            raise error
    first, *rest = story.read(folder)
    assert (first.title, first.outcome) == ("Traffic: 4 of 5", "passed")
    assert first.facts == {"asked": 5, "outcomes": {"ok": 4}}
    assert before <= first.start_ns <= first.stop_ns <= time.time_ns()
    assert [one.outcome for one in rest] == ["harness", "broken"]


def test_a_damaged_line_costs_no_other(tmp_path):
    assert story.read(tmp_path) == []
    with story.step(tmp_path, "One"):
        pass
    with (tmp_path / story.FILE).open("a") as file:
        file.write('{"title": 1, "unknown": 2}\n[]\n{"title"\n')
    assert [one.title for one in story.read(tmp_path)] == ["One"]
