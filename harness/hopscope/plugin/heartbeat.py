"""What a test on a lab is doing, told where a phase of it takes long: after 10, 30 and 70 s, then each minute.

Whole lines, so that they can be read on a terminal, in a log, and from the workers of pytest-xdist alike.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import pytest

from hopscope.plugin.ahead import lab_of
from hopscope.run import doing

FIRST_S, MOST_S = 10.0, 60.0


class Heartbeat:
    """Registered as a plugin. Its wrappers are the innermost: a line lifts pytest's capture of the phase for a moment,
    and must not do so when the phase has ended."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._lock = threading.Lock()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        with self._beating(item, "being set up"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        with self._beating(item, "its own body runs"):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        with self._beating(item, "being taken down"):
            return (yield)

    @contextmanager
    def _beating(self, item: pytest.Item, otherwise: str) -> Iterator[None]:
        """``otherwise`` is said where nobody says what is being done."""
        if lab_of(item) is None:
            yield
            return
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(item.nodeid, otherwise, ended), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._lock:  # nothing is said from here on, though the thread may still be asking what is done
                ended.set()

    def _beat(self, nodeid: str, otherwise: str, ended: threading.Event) -> None:
        began, pause = time.monotonic(), FIRST_S
        while not ended.wait(pause):
            told = doing.now() or otherwise
            with self._lock:
                if not ended.is_set():
                    self._say(f"{nodeid}: {time.monotonic() - began:.0f} s, {told}")
            pause = min(pause * 2, MOST_S)
