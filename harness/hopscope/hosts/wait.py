"""The one wait of the project: a condition and a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from hopscope.errors import WaitTimeout

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, timeout: float, interval: float = 0.01, what: str) -> T:
    """Ask ``condition`` every ``interval`` seconds until it is truthy, and return what it gave.

    The condition is asked at least once, and once more at the deadline, so a slow machine cannot miss it.
    Raises WaitTimeout naming ``what`` after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            raise WaitTimeout(f"waited {timeout:g} s for {what}", evidence=f"last answer: {value!r}")
        time.sleep(min(interval, max(0.0, deadline - time.monotonic())))
