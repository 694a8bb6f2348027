"""TCP options (RFC 9293, 3.1): MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather

_END, _NOP, _MSS, _WSCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
_START = 20
"""Where options begin in a header."""
_SPACE = 40
"""Most bytes of options, and so most steps of the walk."""
_HELLO = 0x0402080A, 0x010303
"""Behind the MSS of Linux's SYN: SACK-permitted and timestamps, and behind those NOP and window scale."""
_USUAL = 0x0101080A
"""NOP, NOP, timestamps: how nearly every segment of a connection with timestamps begins its options."""


@dataclass(frozen=True, eq=False)
class Options:
    mss: NDArray[np.int32]
    wscale: NDArray[np.int16]
    sack_permitted: NDArray[np.bool_]
    sack_count: NDArray[np.uint8]
    tsval: NDArray[np.int64]
    tsecr: NDArray[np.int64]


def empty(count: int) -> Options:
    return Options(
        mss=np.full(count, -1, np.int32),
        wscale=np.full(count, -1, np.int16),
        sack_permitted=np.zeros(count, np.bool_),
        sack_count=np.zeros(count, np.uint8),
        tsval=np.full(count, -1, np.int64),
        tsecr=np.full(count, -1, np.int64),
    )


def decode(head: gather.Block, stop: NDArray[np.int64], out: Options, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Fill ``out[rows]`` from headers (n, 60) whose options end at column ``stop``; returns which run past their space.

    All rows walk at once, one option a step; a known option with a length that is not its own is skipped, as Linux
    does.
    """
    broken = np.zeros(len(rows), np.bool_)
    first = gather.field(head, _START, 4)
    usual = (first == _USUAL) & (stop >= _START + 12)
    hit = np.flatnonzero(usual)
    if len(hit):
        _timestamps(head[hit, _START + 4 :], out, rows[hit])
    start = np.where(usual, _START + 12, _START)
    hello = _hello(head, first, stop)
    if len(hello):
        _timestamps(head[hello, _START + 8 :], out, rows[hello])
        out.mss[rows[hello]], out.wscale[rows[hello]] = first[hello] & 0xFFFF, head[hello, _START + 19]
        out.sack_permitted[rows[hello]] = True
        start[hello] = stop[hello]
    for active, at, kind, length, fits in _walk(head, stop, start):
        broken[active[~fits]] = True
        known = np.flatnonzero(fits & (kind != _NOP))
        if len(known):
            _fill(head, out, rows[active[known]], at[known], kind[known], length[known], active[known])
    return broken


def _hello(head: gather.Block, first: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Headers with the options of Linux's SYN in its order, and no others; ``first`` are the first four bytes."""
    some = np.flatnonzero((first >> 16 == _MSS << 8 | 4) & (stop == _START + 20))
    if not len(some):
        return some
    middle, end = gather.field(head[some], _START + 4, 4), gather.field(head[some], _START + 16, 4)
    return np.asarray(some[(middle == _HELLO[0]) & (end >> 8 == _HELLO[1])])


def sack_edges(head: gather.Block, stop: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Edges, shape (n, 8), of the last well-formed SACK option of headers as ``decode`` takes them."""
    edges = np.zeros((len(head), 8), np.uint32)
    flat, column = head.ravel(), np.arange(8)
    for active, at, kind, length, fits in _walk(head, stop, np.full(len(head), _START)):
        hit = fits & (kind == _SACK) & _sack_fits(length)
        which = active[hit]
        start = which * head.shape[1] + at[hit] + 2
        value = gather.u32(flat, (start[:, None] + 4 * column).ravel()).reshape(-1, 8)
        edges[which] = np.where(column < (length[hit, None] - 2) // 4, value, 0)
    return edges


_Step = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def _walk(head: gather.Block, stop: NDArray[np.int64], start: NDArray[np.int64]) -> Iterator[_Step]:
    """The options of all headers, one of each at a time: (row, column, kind, length, whether it is within its space).

    A header is left at the end of its list, or at an option that runs past its space.
    """
    flat, width = head.ravel(), head.shape[1]
    at, active = start.copy(), np.flatnonzero(start < stop)
    for _ in range(_SPACE):
        if not len(active):
            return
        here = at[active]
        place = active * width + here
        kind = flat[place].astype(np.int64)
        room = stop[active] - here
        length = np.where(room >= 2, flat[np.minimum(place + 1, len(flat) - 1)], 0).astype(np.int64)
        length[kind == _NOP] = 1
        fits = (kind == _NOP) | ((length >= 2) & (length <= room))
        open_ones = kind != _END
        if not open_ones.all():
            active, here, kind, length, fits = (x[open_ones] for x in (active, here, kind, length, fits))
        yield active, here, kind, length, fits
        if not fits.all():
            active, here, length = active[fits], here[fits], length[fits]
        at[active] = here + length
        active = active[at[active] < stop[active]]


def _sack_fits(length: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((length >= 10) & (length <= 34) & (length % 8 == 2))


def _timestamps(value: gather.Block, out: Options, rows: NDArray[np.int64]) -> None:
    out.tsval[rows], out.tsecr[rows] = gather.field(value, 0, 4), gather.field(value, 4, 4)


def _fill(
    head: gather.Block,
    out: Options,
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    kind: NDArray[np.int64],
    length: NDArray[np.int64],
    which: NDArray[np.int64],
) -> None:
    """Keep what options of these kinds say; ``which`` are the rows of ``head`` that have them."""
    flat, place = head.ravel(), which * head.shape[1] + at + 2
    hit = (kind == _TIMESTAMPS) & (length == 10)
    if hit.any():
        _timestamps(gather.block(flat, place[hit], 8), out, rows[hit])
    hit = (kind == _MSS) & (length == 4)
    if hit.any():
        out.mss[rows[hit]] = gather.u16(flat, place[hit])
    hit = (kind == _WSCALE) & (length == 3)
    if hit.any():
        out.wscale[rows[hit]] = flat[place[hit]]
    hit = (kind == _SACK_PERMITTED) & (length == 2)
    if hit.any():
        out.sack_permitted[rows[hit]] = True
    hit = (kind == _SACK) & _sack_fits(length)
    if hit.any():
        out.sack_count[rows[hit]] = (length[hit] - 2) // 8
