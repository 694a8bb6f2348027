"""What sat on the path when a flow began, as far as the run recorded it.

Whoever starts and stops systems under test during a capture leaves two events beside it:
``{"event": "sut_started", "sut": NAME, "placement": "stamp"|"hold"|"none", "time_ns": T}`` and the same with
``sut_stopped``, on the clock of the captures. Flows that began between them are the system's; the others are plain.
"""

from __future__ import annotations

import numpy as np

from hopscope.checks.told import number
from hopscope.checks.view import Bools, placed
from hopscope.wire.trace import Placement, Trace


def owned(trace: Trace) -> Bools | None:
    """Flows that began while a translating system was on the path; None when the run did not record it."""
    spans: list[tuple[int, int]] = []
    start: int | None = None
    told = False
    timed = ((number(event, "time_ns"), event) for event in trace.sut_events)
    events = [(time, event) for time, event in timed if time is not None]
    for time, event in sorted(events, key=lambda one: one[0]):
        if event.get("event") not in ("sut_started", "sut_stopped"):
            continue
        told = True
        translating = event.get("placement") not in (None, "none", "plain", "proxy")
        if start is not None:
            spans.append((start, time))
        start = time if event["event"] == "sut_started" and translating else None
    if not told or not trace.same_clock:
        return None
    if start is not None:
        spans.append((start, np.iinfo(np.int64).max))
    mine = np.zeros(len(trace.whole), dtype=bool)
    for begin, end in spans:
        mine |= (trace.began >= begin) & (trace.began < end)
    return mine


def untouched(trace: Trace) -> Bools:
    """Whole flows that the server itself answered although a translating system was on the path."""
    mine = owned(trace)
    if mine is None:
        return np.zeros(len(trace.whole), dtype=bool)
    return np.asarray(trace.whole & mine & placed(trace, Placement.PLAIN))
