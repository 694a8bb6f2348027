from __future__ import annotations

import os

import pytest

from hopscope_nic.io import priority


def test_the_lowest_realtime_priority_is_asked_for_and_children_do_not_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: asked.append(arguments))
    assert priority.raise_priority() == "realtime"
    ((pid, policy, param),) = asked
    assert (pid, policy, param.sched_priority) == (0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1)


def test_without_the_privilege_it_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    assert priority.raise_priority() == "normal"
