"""What the program says while it runs: one JSON object per line on standard output."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, Optional, TextIO

_ERRORS_TOLD = 20


class Events:
    """Writes events; falls silent when nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: Optional[TextIO] = stream
        self._errors = 0
        self._last: Optional[Dict[str, Any]] = None

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event at once."""
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps({"event": event, **fields}, separators=(",", ":")) + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._stream = None

    def counters(self, values: Dict[str, Any], always: bool = False) -> None:
        """Write counters with the time (`time_ns`, CLOCK_REALTIME), unless they are the same as the last ones."""
        if values != self._last or always:
            self._last = values
            self.emit("counters", **values, time_ns=time.time_ns())

    def error(self, where: str, detail: str) -> None:
        """A mistake in this program: never fatal, never silent. The first few are told, the others only counted."""
        self._errors += 1
        if self._errors <= _ERRORS_TOLD:
            self.emit("error", where=where, detail=detail)
