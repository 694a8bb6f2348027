"""One tap's segments in numbers that can be compared across a rewrite.

The client's sequence space starts at its ISN on every tap. The server's starts at V, the spoofed ISN, on the client's
side of the translating box and at R, the real one, on the server's side: relative numbers of one segment are then the
same on all taps, whatever the box does right, and differ where it does wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import Position
from hopscope.wire.trace import PLACEMENTS, TRANSLATORS, Placement, Trace

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWN = np.int64(-1)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)

_bases: WeakKeyDictionary[Trace, dict[Position, Ints]] = WeakKeyDictionary()

_SMALL = 20_000
"""Rows of a tap of which all are kept at hand: a view of them costs more in calls than in memory."""
_views: WeakKeyDictionary[Trace, dict[Position, View]] = WeakKeyDictionary()


@dataclass(eq=False, slots=True)
class View:
    """Rows of one tap, one direction or both, as arrays of one length.

    ``seq`` and ``ack`` are relative to the ISN of their space, signed, and do not wrap; ``end`` is the number behind
    the last byte, SYN and FIN counted. ``seq`` and ``end`` mean nothing where ``placed`` is false: the side's ISN is
    not known. ``ack`` means nothing where ``acks`` is false: no ACK flag, or the other side's ISN is not known.
    """

    position: Position
    row: Ints
    flow: Ints
    up: Bools
    flags: NDArray[np.uint8]
    length: Ints
    seq: Ints
    ack: Ints
    acks: Bools
    end: Ints
    placed: Bools
    time: Ints

    def __getitem__(self, mask: Bools | Ints) -> View:
        if mask.dtype == np.bool_:
            mask = mask.nonzero()[0]
            if len(mask) == len(self.row):
                return self
        return View(
            self.position,
            self.row[mask],
            self.flow[mask],
            self.up[mask],
            self.flags[mask],
            self.length[mask],
            self.seq[mask],
            self.ack[mask],
            self.acks[mask],
            self.end[mask],
            self.placed[mask],
            self.time[mask],
        )

    def __len__(self) -> int:
        return len(self.row)

    def has(self, flag: int) -> Bools:
        return np.asarray((self.flags & flag) != 0)


def view(trace: Trace, position: Position, flows: Bools, only: Bools | None = None) -> View:
    """The segments at a tap of the flows in the mask ``flows``, where the ISN of either side is known at that tap.

    ``only`` is a mask of the tap's rows: the segments that are wanted, where not all are.
    """
    if len(trace.flow_of[position]) > _SMALL:
        return _view(trace, position, flows, only)
    known = _views.setdefault(trace, {})
    if position not in known:
        known[position] = _view(trace, position, np.ones(len(trace), np.bool_), None)
    every = known[position]
    return every[flows[every.flow] if only is None else flows[every.flow] & only[every.row]]


def _view(trace: Trace, position: Position, flows: Bools, only: Bools | None) -> View:
    packets, flow_of = trace.taps[position].packets, trace.flow_of[position]
    base = server_base(trace, position)
    row = np.flatnonzero(flow_of >= 0 if only is None else (flow_of >= 0) & only)
    flow = flow_of[row]
    kept = flows[flow] & ((base >= 0) | (trace.client_isn >= 0))[flow]
    row, flow = row[kept], flow[kept]
    up = trace.to_server[position][row]
    own = np.where(up, trace.client_isn[flow], base[flow])
    other = np.where(up, base[flow], trace.client_isn[flow])
    flags = packets.flags[row]
    length = packets.payload_len[row].astype(np.int64)
    side = flow * 2 + up
    placed = own >= 0
    steady = (flags & RST) == 0
    seq = _unwrapped(distance(packets.seq[row], np.maximum(own, 0)), side, placed & steady)
    acks = ((flags & ACK) != 0) & (other >= 0)
    ack = _unwrapped(distance(packets.ack[row], np.maximum(other, 0)), side, acks & steady)
    end = seq + length + ((flags & SYN) != 0) + ((flags & FIN) != 0)
    return View(position, row, flow, up, flags, length, seq, ack, acks, end, placed, packets.time[row])


def server_base(trace: Trace, position: Position) -> Ints:
    """Where the server's sequence space starts at a tap, for each flow; -1 unknown. Worked out once, not to be changed.

    Where the client's kernel took the server's own SYN-ACK, it starts at R everywhere, whatever a box said later.
    """
    known = _bases.setdefault(trace, {})
    if position not in known:
        known[position] = _server_base(trace, position).view()
        known[position].flags.writeable = False
    return known[position]


def _server_base(trace: Trace, position: Position) -> Ints:
    spoofed = (trace.spoofed_isn >= 0) & (trace.spoofed_isn != trace.real_isn) & ~server_answered(trace)
    if position <= Position.CLIENTNIC_LAN:
        base = np.where(spoofed, trace.spoofed_isn, trace.real_isn)
        return np.where(base < 0, trace.answered_isn, base)
    if position >= Position.SERVERNIC_LAN:
        return trace.real_isn
    base = np.where(translated_at(trace, "servernic"), trace.spoofed_isn, -1)
    base = np.where(translated_at(trace, "clientnic"), trace.real_isn, base)
    return np.where(spoofed, base, trace.real_isn)


def server_answered(trace: Trace) -> Bools:
    """Flows that a box answered, but whose client had already taken the server's own SYN-ACK."""
    answered = (trace.answered_isn >= 0) & (trace.answered_isn == trace.real_isn)
    return np.asarray(answered & (trace.spoofed_isn != trace.real_isn))


def translated_at(trace: Trace, box: str) -> Bools:
    """Flows that this box translates, as far as the captures show or the placement implies."""
    seen = trace.translator == TRANSLATORS.index(box)
    silent = trace.translator < 0
    implied = {"clientnic": (Placement.HOLD,), "servernic": (Placement.STAMP, Placement.EARLY)}[box]
    return np.asarray(seen | (silent & placed(trace, *implied)))


def placed(trace: Trace, *placements: Placement) -> Bools:
    """Flows whose inferred placement is one of these."""
    wanted = np.zeros(len(PLACEMENTS) + 1, dtype=bool)  # the last one is for -1, unknown
    wanted[[PLACEMENTS.index(one) for one in placements]] = True
    return np.asarray(wanted[trace.placement])


def rewritten(trace: Trace, claim: str | None = None) -> Bools:
    """Whole flows that a box answered for (or tried to), and all whole flows where a placement is claimed."""
    if claim not in (None, "plain"):
        return trace.whole.copy()
    answered = (trace.spoofed_isn >= 0) & (trace.real_isn >= 0) & (trace.spoofed_isn != trace.real_isn)
    moved = placed(trace, Placement.HOLD, Placement.STAMP, Placement.EARLY)
    return np.asarray(trace.whole & (answered | moved | answered_twice(trace) | unaccepted(trace)))


def unaccepted(trace: Trace) -> Bools:
    """Flows that a box answered and the server did not: it refused them, or is not there."""
    alone = (trace.answered_isn >= 0) & (trace.real_isn < 0)
    places = [position for position in trace.taps if position >= Position.SERVERNIC_LAN]
    for position in places:
        flow_of, flags = trace.flow_of[position], trace.taps[position].packets.flags
        spoke = (flow_of >= 0) & ~trace.to_server[position] & ((flags & RST) == 0)
        alone[flow_of[spoke]] = False
    return alone if places else np.zeros_like(alone)


def answered_twice(trace: Trace) -> Bools:
    """Flows whose client side saw SYN-ACKs of different ISNs: one of them is not the box's, even where R is unknown."""
    twice = np.zeros(len(trace.whole), dtype=bool)
    for position in (Position.CLIENT, Position.CLIENTNIC_LAN):
        if position not in trace.taps:
            continue
        packets, flow_of = trace.taps[position].packets, trace.flow_of[position]
        answers = (flow_of >= 0) & ~trace.to_server[position] & ((packets.flags & (SYN | ACK)) == SYN | ACK)
        flow, isn = flow_of[answers], packets.seq[answers].astype(np.int64)
        twice[flow[isn != trace.answered_isn[flow]]] = True
    return twice


def keys(*columns: NDArray[np.generic]) -> NDArray[np.uint64]:
    """One 64-bit key for each row of several integer columns: multiplied by the golden ratio, and folded, in turn.

    Equal rows have equal keys. Rows that differ in one column never share one; others do by a chance of 2^-64, which a
    million rows cannot notice.
    """
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        mixed += column.astype(np.int64, copy=False).view(np.uint64)
        mixed *= _GOLDEN
        mixed ^= mixed >> _HALF
    return mixed


def among(value: NDArray[Any], known: NDArray[Any]) -> Bools:
    """Which of the values are among the known ones: ``np.isin`` in fewer steps, for numbers of one type."""
    if not len(known):
        return np.zeros(len(value), np.bool_)
    ordered = np.sort(known)
    place = np.minimum(np.searchsorted(ordered, value), len(ordered) - 1)
    return np.asarray(ordered[place] == value)


def not_before(key: NDArray[np.uint64], time: Ints, known: NDArray[np.uint64], since: Ints) -> Bools:
    """Which (key, time) have their key among ``known``, at that time or earlier."""
    if not len(known):
        return np.zeros(len(key), dtype=bool)
    order = np.lexsort((since, known))
    values = known[order]
    place = np.minimum(np.searchsorted(values, key), len(values) - 1)  # of equal ones the first, so the earliest
    return np.asarray((values[place] == key) & (since[order[place]] <= time))


def _unwrapped(relative: Ints, side: Ints, countable: Bools) -> Ints:
    """Relative numbers carried past 2^31, for sides (flow and direction) that have sent that much.

    Steps between consecutive segments are far smaller than 2^31, so their running sum is the true distance.
    """
    reach = np.zeros(int(side.max()) + 1 if len(side) else 0, dtype=np.int64)
    np.maximum.at(reach, side[countable], np.abs(relative[countable]))
    out = relative.copy()
    for one in np.flatnonzero(reach >= 1 << 30):  # nothing can have wrapped without passing here
        mine = np.flatnonzero((side == one) & countable)
        steps = distance(relative[mine][1:], relative[mine][:-1])
        out[mine] = relative[mine][0] + np.concatenate(([0], np.cumsum(steps)))
    return out
