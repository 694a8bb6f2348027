"""A run that cannot be written any more: it is told once, and pytest ends as it would have."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.plugin.session import Session


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_that_cannot_be_written_is_told_once() -> None:
    session: Any = Session.__new__(Session)
    session.kept, session.turns = [], SimpleNamespace(end=lambda: None)
    session._run = SimpleNamespace(finish=full)
    session._write(full)
    session.finish()
    assert session.kept == ["the run is not whole: it could not be written: No space left on device"]


def test_another_mistake_is_no_full_disk() -> None:
    session: Any = Session.__new__(Session)
    session.kept = []
    with pytest.raises(ZeroDivisionError):
        session._write(lambda: 1 // 0)
