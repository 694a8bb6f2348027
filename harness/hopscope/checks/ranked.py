"""What came before a segment in its own flow: running maxima of columns that are sorted by flow and time."""

from __future__ import annotations

import numpy as np

from hopscope.checks.view import Bools, Ints, View

_ROOM = 41
"""Bits of a relative number with its sign: flows of up to 2^40 bytes."""


def by_time(seen: View) -> View:
    """The same segments by flow, and by time within each."""
    return seen[np.lexsort((seen.time, seen.flow))]


def highest_before(flow: Ints, value: Ints, none: int = 0) -> Ints:
    """For each entry the largest value of its flow before it, ``none`` where it is the first; flows in runs."""
    if not len(flow):
        return value
    begins = flow[1:] != flow[:-1]
    shifted = value + (1 << (_ROOM - 1))
    shifted[1:] += np.cumsum(begins) << _ROOM
    running = np.maximum.accumulate(shifted) & ((1 << _ROOM) - 1)
    out = np.empty_like(value)
    out[0], out[1:] = none, running[:-1] - (1 << (_ROOM - 1))
    out[1:][begins] = none
    return out


def newest(seen: View) -> Bools:
    """Segments, sorted by flow and time, that are not behind any before them: those whose window and clock count."""
    low = -(1 << (_ROOM - 1))
    ahead = seen.end - (seen.end > seen.seq)  # what was sent again is older than what was sent
    return np.asarray(
        (ahead >= highest_before(seen.flow, seen.seq, low)) & (seen.ack >= highest_before(seen.flow, seen.ack, low))
    )
