"""Are the flow tables of the boxes empty in time? Where the system under test tells how many flows it has open.

A flow that is over may linger for its repeated segments, until the same deadline.

A box that was taken off the path before its tables had their time (a comparison goes on with the next system) has
nothing to answer for; one that was left there, told of open flows and never of none is not known to forget them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hopscope.checks.evidence import count, milliseconds
from hopscope.checks.told import number
from hopscope.checks.verdict import Evidence
from hopscope.wire.trace import Trace

TABLES_EMPTY_NS = 5_000_000_000
"""After the last segment a rewriter has this long to forget its flows."""

EXPECTED = "an empty flow table within 5 s of the last segment"


@dataclass(frozen=True)
class Tables:
    leftover: tuple[Evidence, ...] = ()
    """Tables that were not empty in time."""
    unsure: tuple[Evidence, ...] = ()
    """Tables whose box told of open flows last."""
    note: str = ""
    """What to say of the others, or why nothing was judged."""


def judge(trace: Trace, *, flows_open: bool) -> Tables:
    """``flows_open``: connections were left open, so that tables need not be empty."""
    last = max(
        (int(tap.packets.time[tap.packets.is_tcp].max()) for tap in trace.taps.values() if tap.packets.is_tcp.any()),
        default=0,
    )
    deadline = last + TABLES_EMPTY_NS
    by_box: dict[str, list[tuple[int, int]]] = {}
    for event in trace.sut_events:
        time, flows = number(event, "time_ns"), number(event, "flows")
        if time is not None and flows is not None:
            if time > deadline:
                flows += number(event, "lingering") or 0
            by_box.setdefault(str(event.get("host") or event.get("role") or "sut"), []).append((time, flows))
    if not by_box:
        return Tables()
    if flows_open or not trace.same_clock:
        return Tables(note="; flow tables not judged")
    leftover, unsure, told = [], [], []
    for box, mine in by_box.items():
        mine.sort()
        after = [(time, flows) for time, flows in mine if time >= last]
        empty = next((time for time, flows in after if flows == 0), None)
        if after and after[-1][0] > deadline and after[-1][1]:
            leftover.append(Evidence(None, box, (), EXPECTED, f"{after[-1][1]} flows"))
        elif empty is not None and empty <= deadline:
            told.append(f"{box} empty {milliseconds(empty - last)} after the last segment")
        elif empty is not None and _told_of_none(mine, empty):
            continue  # it tells what is new, and nothing was
        elif empty is not None:
            seen = f"empty only after {milliseconds(empty - last)}"
            leftover.append(Evidence(None, box, (), EXPECTED, seen))
        elif mine[-1][1] and not _stopped(trace, mine[-1][0], deadline):
            unsure.append(Evidence(None, box, (), EXPECTED, f"of {count(mine[-1][1], 'open flow')}"))
    note = "; flow table of " + ", ".join(told) if told else "; flow tables not told in time"
    return Tables(tuple(leftover), tuple(unsure), note)


def _told_of_none(mine: list[tuple[int, int]], time: int) -> bool:
    """Whether what a box told before ``time`` was an empty table as well."""
    return next((flows for told, flows in reversed(mine) if told < time), None) == 0


def _stopped(trace: Trace, told: int, deadline: int) -> bool:
    """Whether the system of a box that told last at ``told`` was taken off the path before the deadline.

    A box may tell its last a moment after it was asked to stop: what counts is a stop after the system's start.
    """
    starts, stops = (
        [time for event in trace.sut_events if event.get("event") == kind and (time := number(event, "time_ns"))]
        for kind in ("sut_started", "sut_stopped")
    )
    start = max((time for time in starts if time <= told), default=told - TABLES_EMPTY_NS)
    return any(start <= stop < deadline for stop in stops)
