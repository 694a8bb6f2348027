"""Where a session stands: the phases that a lab and a window go through, noted as each is entered.

One line ``{"phase", "time_ns"}`` of ``RUN/phases.jsonl`` each, written before the phase begins: the last line of a run
that was killed says during what.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

FILE = "phases.jsonl"


class Phase(StrEnum):
    """In their order; between the first and the last they come again for each window."""

    BUILDING = "building"
    """Hosts and links come up and are proven."""
    CAPTURING = "capturing"
    """Captures are started on every tap."""
    STARTING = "starting"
    """The system under test is started."""
    LOADING = "loading"
    """Something is sent."""
    DRAINING = "draining"
    """The network gets quiet, the system under test is stopped, captures are drained and ended."""
    JUDGING = "judging"
    """Captures are read and checks asked."""
    TEARING_DOWN = "tearing down"
    """Hosts and links go."""


def enter(run: Path, phase: Phase) -> None:
    """Note that a phase begins. Never raises: a note that cannot be written decides nothing."""
    with suppress(OSError), (run / FILE).open("a") as file:
        file.write(json.dumps({"phase": str(phase), "time_ns": time.time_ns()}) + "\n")


def last(run: Path) -> Phase | None:
    """The phase that was entered last; None where none was, or the file cannot be read."""
    found = None
    with suppress(OSError):
        for line in (run / FILE).read_text(errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):  # a line that was cut off by a full disk
                found = Phase(json.loads(line)["phase"])
    return found
