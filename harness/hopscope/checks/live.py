"""What sat on the path when a flow began, as far as the run recorded it.

Whoever starts and stops systems under test during a capture leaves two events beside it:
``{"event": "sut_started", "sut": NAME, "placement": "stamp"|"hold"|"none", "time_ns": T}`` and the same with
``sut_stopped``, on the clock of the captures. Flows that began between them are the system's; the others are plain.
"""

from __future__ import annotations

import numpy as np

from hopscope.checks.view import Bools
from hopscope.wire.trace import Trace


def owned(trace: Trace) -> Bools | None:
    """Flows that began while a translating system was on the path; None when the run did not record it."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    told = False
    for event in sorted((one for one in trace.sut_events if "time_ns" in one), key=lambda one: int(one["time_ns"])):
        if event.get("event") not in ("sut_started", "sut_stopped"):
            continue
        told = True
        translating = event.get("placement") not in (None, "none", "plain", "proxy")
        if start is not None:
            spans.append((start, int(event["time_ns"])))
        start = int(event["time_ns"]) if event["event"] == "sut_started" and translating else None
    if not told or not trace.same_clock:
        return None
    if start is not None:
        spans.append((start, np.iinfo(np.int64).max))
    mine = np.zeros(len(trace.whole), dtype=bool)
    for begin, end in spans:
        mine |= (trace.began >= begin) & (trace.began < end)
    return mine
