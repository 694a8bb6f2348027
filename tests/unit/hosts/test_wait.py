from __future__ import annotations

import time

import pytest

from hopscope.errors import WaitTimeout
from hopscope.hosts.wait import wait_until
from hopscope.lab import wait


def test_it_returns_what_the_condition_gave() -> None:
    answers = iter([0, None, "", "at last", "too far"])
    assert wait_until(lambda: next(answers), timeout=5, interval=0, what="an answer") == "at last"


def test_a_condition_that_holds_is_asked_once_even_without_time() -> None:
    assert wait_until(lambda: True, timeout=0, what="nothing")


def test_the_error_names_what_was_waited_for_and_the_last_answer() -> None:
    started = time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        wait_until(list, timeout=0.05, interval=0.01, what="the tide")
    assert 0.05 <= time.monotonic() - started < 1
    assert "the tide" in str(caught.value)
    assert "[]" in str(caught.value)


def test_it_is_asked_once_more_at_the_deadline() -> None:
    asked: list[float] = []
    with pytest.raises(WaitTimeout):
        wait_until(lambda: asked.append(time.monotonic()), timeout=0.03, interval=60, what="never")
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 0.03


def test_the_lab_has_the_same_one() -> None:
    assert wait.wait_until is wait_until
