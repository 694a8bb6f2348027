"""TERM and Ctrl-C end a session in order, and it says so. On a lab: test_reliability."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.plugin import ended
from hopscope.run import phase
from hopscope.run.phase import Phase


@pytest.fixture(autouse=True)
def as_before() -> Any:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def caught(error: BaseException) -> pytest.ExceptionInfo[BaseException]:
    with pytest.raises(type(error)) as found:
        raise error
    return found


def test_the_first_term_interrupts_and_the_second_kills() -> None:
    ended.listen()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_listens_already_is_left_alone() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended.listen()
    ended.forget()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_after_a_session_term_is_what_it_was() -> None:
    ended.listen()
    ended.forget()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("error", "word"), [(ended.Terminated(), "SIGTERM"), (KeyboardInterrupt(), "Ctrl-C")])
def test_what_ended_it_and_during_what_is_told(tmp_path: Any, error: BaseException, word: str) -> None:
    phase.enter(tmp_path, Phase.DRAINING)
    session: Any = SimpleNamespace(started=True, run=SimpleNamespace(directory=tmp_path), kept=[])
    ended.Interrupts(session).pytest_keyboard_interrupt(caught(error))
    assert session.kept[0].startswith(f"ended by {word} while draining: the test that ran was not judged")


def test_a_session_without_a_run_says_nothing() -> None:
    session: Any = SimpleNamespace(started=False, kept=[])
    ended.Interrupts(session).pytest_keyboard_interrupt(caught(KeyboardInterrupt()))
    assert session.kept == []
