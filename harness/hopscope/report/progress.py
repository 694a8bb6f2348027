"""What is being done, when it takes long: on one line of a terminal, written anew, and in a log on lines of its own."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

QUIET_S, AGAIN_S = 2.0, 0.2
"""On a terminal: before it nothing is said, and no sooner again."""
LOG_QUIET_S, LOG_AGAIN_S = 10.0, 10.0
"""Where the stream is none."""


class Progress:
    """Call it with what is being done now."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewritten = stream.isatty()
        self._quiet_s, self._again_s = (QUIET_S, AGAIN_S) if self._rewritten else (LOG_QUIET_S, LOG_AGAIN_S)
        self._began = time.monotonic()
        self._said = -self._again_s
        self._length = 0

    def __call__(self, doing: str) -> None:
        now = time.monotonic()
        if now - self._began < self._quiet_s or now - self._said < self._again_s:
            return
        self.clear()
        text = f"{now - self._began:4.0f} s  {doing}"
        if self._rewritten:
            text = text[:78]
            self._length = len(text)
        self._stream.write(f"\r{text}" if self._rewritten else f"{text}\n")
        self._stream.flush()
        self._said = now

    def clear(self) -> None:
        """Take the line away again, before something else is printed."""
        if self._length:
            self._stream.write("\r" + " " * self._length + "\r")
            self._stream.flush()
            self._length = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()
