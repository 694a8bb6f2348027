"""Which flows lie entirely within the captures: only those can be judged for what is missing.

With a side-car the taps say when they were live. A bare folder does not say, and people start and stop captures one
by one: there a tap is taken to be live from the first flow whose SYN it has, and a flow that ends at one tap and not
at another whose capture ends right there was cut off. Both rules need no common clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.packets import FIN, RST
from hopscope.wire.rows import TapRows
from hopscope.wire.taps import Position, Tap

_QUIET_NS = 200_000_000
"""A capture that goes on this long after a flow's last packet would have seen the rest of it (TCP's least
retransmission time)."""


@dataclass(frozen=True)
class Window:
    """When all taps are known to have captured, in ns; None where a tap does not say."""

    start_ns: int | None
    end_ns: int | None


def window(taps: Mapping[Position, Tap]) -> Window:
    """The time that all taps have in common; it means something across taps when they share a clock."""
    starts = [tap.health.live_ns if tap.health else None for tap in taps.values()]
    ends = [tap.health.end_ns if tap.health else None for tap in taps.values()]
    known_starts, known_ends = [t for t in starts if t is not None], [t for t in ends if t is not None]
    return Window(
        max(known_starts) if known_starts and len(known_starts) == len(starts) else None,
        min(known_ends) if known_ends and len(known_ends) == len(ends) else None,
    )


def whole(
    taps: Mapping[Position, Tap], rows: Mapping[Position, TapRows], flows: int, *, same_clock: bool
) -> NDArray[np.bool_]:
    """For each flow (in the order in which they began) whether every tap was live from its SYN to its end."""
    common = window(taps)
    first = rows[min(rows)]
    out = np.asarray(first.first(first.syn) >= 0)
    closed = {position: _closed(part) for position, part in rows.items()}
    closed_somewhere = np.any(list(closed.values()), axis=0) if closed else out
    for position, part in rows.items():
        everything = np.ones(len(part.packets), np.bool_)
        began, ended = part.first(everything), part.last(everything)
        seen = ended >= 0
        start, end = _bounds(taps[position], common, same_clock=same_clock)
        time = part.packets.time
        if start is not None:
            out[seen] &= time[began[seen]] >= start
        if start is None or not same_clock:
            out &= ~_before_tap(part, flows)
        if end is not None:
            out[seen] &= time[ended[seen]] <= end
        elif len(time):
            last = max(int(time.max()), taps[position].elsewhere.last_ns)
            out[seen] &= ~(closed_somewhere & ~closed[position])[seen] | (time[ended[seen]] < last - _QUIET_NS)
    return out


def unjudged(
    taps: Mapping[Position, Tap], rows: Mapping[Position, TapRows], complete: NDArray[np.bool_], *, same_clock: bool
) -> NDArray[np.bool_]:
    """Of the flows that are not whole, those that captures said to be live should have held: a gap in the evidence.

    Others have an excuse: they began before the captures (or show no SYN at all), they were still going on when the
    captures ended, or they never came by the first tap (a box opened them). Without times of every tap nothing follows.
    """
    none = np.zeros(len(complete), np.bool_)
    if not rows or any(tap.health is None or tap.health.live_ns is None for tap in taps.values()):
        return none
    common = window(taps)
    began_late, opened, running, ended = none.copy(), none.copy(), none.copy(), none.copy()
    for position, part in rows.items():
        everything = np.ones(len(part.packets), np.bool_)
        first, last = part.first(everything), part.last(everything)
        start, end = _bounds(taps[position], common, same_clock=same_clock)
        time, seen = part.packets.time, first >= 0
        if position == min(rows):
            began_late[seen] = time[first[seen]] >= (start or 0)
        opened |= part.first(part.syn) >= 0
        ended |= _closed(part)
        if end is not None:
            running[seen] |= time[last[seen]] > end
    return np.asarray(~complete & began_late & opened & ~(running & ~ended))


def _bounds(tap: Tap, common: Window, *, same_clock: bool) -> tuple[int | None, int | None]:
    """When a flow's rows at this tap may lie, on the tap's clock."""
    if same_clock:
        return common.start_ns, common.end_ns
    return (tap.health.live_ns, tap.health.end_ns) if tap.health else (None, None)


def _before_tap(part: TapRows, flows: int) -> NDArray[np.bool_]:
    """Flows without a SYN at this tap that began before the first flow that has one: the tap was not live yet."""
    syn_seen = part.first(part.syn) >= 0
    index = np.flatnonzero(syn_seen)
    live_from = int(index[0]) if len(index) else flows
    return np.asarray(~syn_seen & (np.arange(flows) < live_from))


def _closed(part: TapRows) -> NDArray[np.bool_]:
    """Flows that this tap saw end: a RST, or a FIN in both directions."""
    flags, own = part.packets.flags, part.flow >= 0
    fin = (flags & FIN > 0) & own
    reset = part.first((flags & RST > 0) & own) >= 0
    return np.asarray(reset | ((part.first(fin & part.to_server) >= 0) & (part.first(fin & ~part.to_server) >= 0)))
