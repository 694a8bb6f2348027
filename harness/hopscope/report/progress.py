"""What is being done, on one line of a terminal, when it takes longer than two seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

QUIET_S = 2.0
"""Before this nothing is said, and never more than five times a second."""


class Progress:
    """Call it with what is being done now. Says nothing where the stream is no terminal."""

    def __init__(self, stream: TextIO, quiet_s: float = QUIET_S) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._began = self._said = time.monotonic()
        self._quiet_s = quiet_s
        self._length = 0

    def __call__(self, doing: str) -> None:
        now = time.monotonic()
        if not self._shown or now - self._began < self._quiet_s or now - self._said < 0.2:
            return
        self.clear()
        text = f"{now - self._began:4.0f} s  {doing}"[:78]
        self._stream.write(f"\r{text}")
        self._stream.flush()
        self._length, self._said = len(text), now

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
