"""A session that is told to end, by Ctrl-C or TERM, ends in order and says during what; told again, it goes at once.

Without a handler of its own TERM ends Python on the spot: the kernel takes the lab all the same, and nobody is told.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from hopscope.plugin.session import Session
from hopscope.run import phase


class Terminated(KeyboardInterrupt):
    """TERM, which pytest then treats as it does Ctrl-C."""

    def __str__(self) -> str:
        return "SIGTERM"


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


def listen() -> None:
    """From the first lab of a session on. Where somebody else listens to TERM already, it is left to them."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminate)


def forget() -> None:
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Interrupts:
    """Registered as a plugin: pytest gives this hook nothing to find the session by."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """By what the session was ended, and during what, for its summary."""
        if not self._session.started:
            return
        by = "SIGTERM" if isinstance(excinfo.value, Terminated) else "Ctrl-C"
        during = phase.last(self._session.run.directory)
        self._session.kept.append(
            f"ended by {by}{f' while {during}' if during else ''}: the test that ran was not judged, "
            "its captures so far stay in the run"
        )
