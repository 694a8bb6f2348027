"""TCP options (RFC 9293, 3.1): MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather

_END, _NOP, _MSS, _WSCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
_SPACE = 40
"""Most bytes of options, and so most steps of the walk."""


@dataclass(frozen=True, eq=False)
class Options:
    mss: NDArray[np.int32]
    wscale: NDArray[np.int16]
    sack_permitted: NDArray[np.bool_]
    sack_count: NDArray[np.uint8]
    sack: NDArray[np.uint32]
    tsval: NDArray[np.int64]
    tsecr: NDArray[np.int64]


def empty(count: int) -> Options:
    return Options(
        mss=np.full(count, -1, np.int32),
        wscale=np.full(count, -1, np.int16),
        sack_permitted=np.zeros(count, np.bool_),
        sack_count=np.zeros(count, np.uint8),
        sack=np.zeros((count, 8), np.uint32),
        tsval=np.full(count, -1, np.int64),
        tsecr=np.full(count, -1, np.int64),
    )


def decode(
    data: NDArray[np.uint8],
    out: Options,
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Fill ``out[rows]`` from the options in [start, stop) of each; returns which of them run past their space.

    All rows walk at once, one option a step; a known option with a length that is not its own is skipped, as Linux
    does.
    """
    broken = np.zeros(len(rows), np.bool_)
    at = start.copy()
    active = np.flatnonzero(at < stop)
    for _ in range(_SPACE):
        if not len(active):
            break
        here = at[active]
        kind = gather.u8(data, here)
        room = stop[active] - here
        length = np.where(room >= 2, gather.u8(data, here + 1), 0)
        single = kind == _NOP
        fits = single | ((length >= 2) & (length <= room))
        ended = kind == _END
        broken[active[~fits & ~ended]] = True
        go = fits & ~ended
        active, here, kind, length, single = active[go], here[go], kind[go], length[go], single[go]
        _fill(data, out, rows[active], here, kind, length)
        at[active] = here + np.where(single, 1, length)
        active = active[at[active] < stop[active]]
    return broken


def _fill(
    data: NDArray[np.uint8],
    out: Options,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    kind: NDArray[np.int64],
    length: NDArray[np.int64],
) -> None:
    hit = (kind == _TIMESTAMPS) & (length == 10)
    if hit.any():
        out.tsval[rows[hit]], out.tsecr[rows[hit]] = gather.u32(data, at[hit] + 2), gather.u32(data, at[hit] + 6)
    hit = (kind == _MSS) & (length == 4)
    if hit.any():
        out.mss[rows[hit]] = gather.u16(data, at[hit] + 2)
    hit = (kind == _WSCALE) & (length == 3)
    if hit.any():
        out.wscale[rows[hit]] = gather.u8(data, at[hit] + 2)
    hit = (kind == _SACK_PERMITTED) & (length == 2)
    if hit.any():
        out.sack_permitted[rows[hit]] = True
    hit = (kind == _SACK) & (length >= 10) & (length <= 34) & (length % 8 == 2)
    if hit.any():
        count = (length[hit] - 2) // 8
        edges = gather.u32(data, at[hit][:, None] + 2 + 4 * np.arange(8)[None, :])
        edges[np.arange(8)[None, :] >= 2 * count[:, None]] = 0
        out.sack_count[rows[hit]] = count
        out.sack[rows[hit]] = edges
