"""Connections that the client asked for and was never answered: neither SYN-ACK nor RST came back to it.

Where the SYN, or the server's answer, was last seen says whose fault it is. A server that got the SYN and said nothing
itself is nobody else's; what vanished on the way is a loss, whether in a box or on a hop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import of_rows
from hopscope.checks.verdict import Evidence
from hopscope.checks.view import Bools
from hopscope.wire.packets import ACK, RST, SYN
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Trace

GRACE_NS = 1_000_000_000
"""A SYN sent later than this before the end of the client's capture may still be answered."""

SHOWN = 10


@dataclass
class Unanswered:
    """Flows by what is known of them."""

    lost: Bools
    """The SYN, or what the server answered, vanished on the way."""
    silent: Bools
    """The SYN came to the server, which said nothing."""
    unclear: Bools
    """The captures do not prove where it ended, or that no answer came."""
    evidence: list[Evidence] = field(default_factory=list)


def judge(trace: Trace) -> Unanswered:
    none = np.zeros(len(trace.whole), dtype=bool)
    found = Unanswered(none.copy(), none.copy(), none.copy())
    here = Position.CLIENT
    if here not in trace.taps or not len(trace.taps[here].packets):
        return found
    time, health = trace.taps[here].packets.time, trace.taps[here].health
    ends = health.end_ns if health is not None and health.end_ns is not None else int(time.max())
    syn = _first(trace, here, up=True, mask=SYN | ACK, flags=SYN)
    asked = trace.whole & (syn >= 0) & (time[np.maximum(syn, 0)] <= ends - GRACE_NS)
    answered = _answer(trace, here) >= 0
    for flow in np.flatnonzero(asked & ~answered).tolist():
        _place(trace, flow, found)
    return found


def _place(trace: Trace, flow: int, found: Unanswered) -> None:
    """Where one connection's opening ended."""
    one, only = trace.flows[flow], trace.only(np.arange(len(trace.whole)) == flow)
    here, last = Position.CLIENT, max(place for place in trace.taps if len(one.syn_rows(place)))
    beyond = [place for place in trace.taps if place > last]
    acknowledged = _first(only, here, up=True, mask=ACK | RST, flags=ACK)[0] >= 0
    if acknowledged or complaints(trace, here) or any(not _proves(trace, place, flow) for place in beyond):
        found.unclear[flow] = True  # the client took an answer, or a capture may have missed the SYN
        return
    shown, rows = last, one.syn_rows(last)[:1]
    what = "the client's SYN"
    if last is Position.SERVER:
        if not len(one.rows(last, to_server=False)):
            found.silent[flow] = True
            return
        answers = {place: int(_answer(only, place)[0]) for place in trace.taps}
        seen_at = [place for place, row in answers.items() if row >= 0]
        if not seen_at:  # no answer to a SYN (RFC 5961, 4: an acknowledgement of something older)
            return
        shown, what = min(seen_at), "the server's answer"
        rows, beyond = np.array([answers[shown]]), [place for place in trace.taps if place < shown][::-1]
    elif not beyond:
        found.unclear[flow] = True
        return
    found.lost[flow] = True
    if len(found.evidence) < SHOWN:
        told = f"{what} was last seen at {trace.taps[shown].name}: lost {_between(trace, shown, beyond[0])}"
        expected = "a SYN-ACK or RST at the client"
        found.evidence.append(of_rows(trace, shown, rows, flow=flow, expected=expected, seen=told))


def _proves(trace: Trace, place: Position, flow: int) -> bool:
    """Whether a tap that did not see a SYN says by that that it did not come: a bare one must have seen later flows."""
    if complaints(trace, place):
        return False
    return trace.taps[place].health is not None or bool((trace.flow_of[place] > flow).any())


def _between(trace: Trace, one: Position, other: Position) -> str:
    for box, sides in BOXES.items():
        if {one, other} == set(sides):
            return f"in {box}"
    near, far = sorted((one, other))
    hop = "on the hop " if far - near == 1 else "between "
    return f"{hop}{trace.taps[near].name}{'--' if far - near == 1 else ' and '}{trace.taps[far].name}"


def _answer(trace: Trace, place: Position) -> np.ndarray:
    """First SYN-ACK or RST towards the client, of each flow."""
    answers = (_first(trace, place, up=False, mask=SYN | ACK, flags=SYN | ACK),
               _first(trace, place, up=False, mask=RST, flags=RST))  # fmt: skip
    return np.where(answers[0] >= 0, *answers)


def _first(trace: Trace, place: Position, *, up: bool, mask: int, flags: int) -> np.ndarray:
    rows = (trace.flow_of[place] >= 0) & (trace.to_server[place] == up)
    return trace.first_rows(place, rows & ((trace.taps[place].packets.flags & mask) == flags))
