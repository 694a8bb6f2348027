"""Lines about what takes time, on the terminal while it happens, with and without pytest-xdist.

Set-up runs under pytest's capture, which is lifted for a line. A worker has no terminal: it appends JSON lines to a
file that the controller reads as it grows.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

INPUT = "hopscope_lines"
"""Key of the file's name in what the controller tells each worker."""
POLL_SECONDS = 0.2


class Teller:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._worker = getattr(config, "workerinput", {}).get("workerid", "")
        self._file = getattr(config, "workerinput", {}).get(INPUT)
        self._lifted = threading.Lock()

    def say(self, line: str) -> None:
        if self._worker:
            if self._file:
                with open(self._file, "a") as file:  # one write of less than a page: lines of workers do not mix
                    file.write(json.dumps({"worker": self._worker, "line": line}) + "\n")
            return
        capture = self.config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            self.write(line)
            return
        with self._lifted, capture.global_and_fixture_disabled():
            self.write(line)

    def write(self, line: str) -> None:
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            if self.config.get_terminal_writer().width_of_current_line:  # letters of tests, which it does not count
                reporter.write_line("")
            reporter.write_line(f"hopscope: {line}")


class Listener:
    """The controller's end: a thread that shows what workers append, until it is closed."""

    def __init__(self, teller: Teller) -> None:
        descriptor, name = tempfile.mkstemp(prefix="hopscope-lines-", suffix=".jsonl")
        os.close(descriptor)
        self.path = Path(name)
        self._teller = teller
        self._ended = threading.Event()
        self._offset = 0
        self._thread = threading.Thread(target=self._listen, name="hopscope-lines", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5)
        self._show()
        self.path.unlink(missing_ok=True)

    def _listen(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._show()

    def _show(self) -> None:
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            for line in whole.splitlines():
                fact = json.loads(line)
                self._teller.write(f"[{fact['worker']}] {fact['line']}")
