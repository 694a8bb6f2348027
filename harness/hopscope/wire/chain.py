"""Where the records of a file start: each says where the next one does.

A long file is cut into stretches that are walked side by side, one record of every stretch at a time. Where a stretch's
first record starts is guessed, by headers that look like records behind one another; the walk of the stretch before it
then either ends exactly there, or says where to start instead. So a guess makes the walk quick and never wrong.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]

STRETCH = 1 << 16
"""Bytes walked as one stretch."""

_WINDOWS = (256, 2048, 1 << 14, 1 << 17)
"""Bytes searched for the first record of a stretch, in turn; a superframe is shorter than the last."""

_CELLS = 1 << 20
"""Offsets looked at together."""

_LIKELY = 4
"""Records that have to follow each other before a guess is taken."""

_REPAIRS = 4
"""Rounds in which wrong guesses are walked again side by side; what is wrong then is walked one by one."""


class Format(Protocol):
    """How one file format chains its records."""

    data: NDArray[np.uint8]
    order: str
    """Byte order, as struct has it."""
    mark: tuple[int, int]
    """A 32-bit field of every record: where it stands, and how large it can be. Most other bytes do not pass for it."""

    def after(self, at: Offsets) -> Offsets:
        """Where the record behind each offset starts; -1 where there is no whole record."""

    def after_one(self, at: int) -> int:
        """The same of one offset."""

    def likely(self, at: Offsets) -> NDArray[np.bool_]:
        """Of offsets at which the mark is right, those where a record may well start."""


def follow(file: Format, start: int, limit: int) -> tuple[Offsets, int, bool]:
    """Offsets of the records from ``start`` (where one starts) on that begin before ``limit``.

    Returns them with where the walk ended, and whether it ended at something that is no whole record.
    """
    stretches = (limit - start) // STRETCH
    if stretches < 4:
        return _one_by_one(file, start, limit)
    bounds = np.append(start + STRETCH * np.arange(stretches), limit)
    first = np.concatenate([[start], _guess(file, start + STRETCH, stretches - 1)])
    heads, end = _side_by_side(file, first, bounds[1:])
    for _ in range(_REPAIRS):
        wrong = np.flatnonzero((end[:-1] >= 0) & (first[1:] != end[:-1])) + 1
        if not len(wrong):
            break
        first[wrong] = end[wrong - 1]
        again, end[wrong] = _side_by_side(file, first[wrong], bounds[wrong + 1])
        for stretch, part in zip(wrong.tolist(), again, strict=True):
            heads[stretch] = part
    found: list[Offsets] = []
    at, damaged = start, False
    for stretch, upto in enumerate(bounds[1:].tolist()):
        if first[stretch] == at:
            part, at = heads[stretch], int(end[stretch])
            damaged = at < 0
            at = ~at if damaged else at
        else:
            part, at, damaged = _one_by_one(file, at, upto)
        found.append(part)
        if damaged:
            break
    return np.concatenate(found), at, damaged


def _one_by_one(file: Format, start: int, limit: int) -> tuple[Offsets, int, bool]:
    heads: list[int] = []
    at, after = start, file.after_one
    while at < limit:
        following = after(at)
        if following < 0:
            return np.array(heads, np.int64), at, True
        heads.append(at)
        at = following
    return np.array(heads, np.int64), at, False


def _side_by_side(file: Format, first: Offsets, limit: Offsets) -> tuple[list[Offsets], Offsets]:
    """Walk each stretch from ``first`` (-1: unknown) to its limit; returns its records, and where it ended.

    An end is written as ``~offset`` where there was no whole record, and is -1 (no offset) for an unknown stretch.
    """
    end = first.copy()
    going = np.flatnonzero((first >= 0) & (first < limit))
    which, where = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while len(going):
        at = end[going]
        following = file.after(at)
        whole = following >= 0
        end[going] = np.where(whole, following, ~at)
        if not whole.all():
            going, at, following = going[whole], at[whole], following[whole]
        which.append(going)
        where.append(at)
        going = going[following < limit[going]]
    owner = np.concatenate(which)
    parts = np.split(
        np.concatenate(where)[np.argsort(owner, kind="stable")],
        np.cumsum(np.bincount(owner, minlength=len(first)))[:-1],
    )
    return list(parts), end


def _guess(file: Format, start: int, stretches: int) -> Offsets:
    """The first likely record at or behind the beginning of each stretch, -1 where none is found."""
    guess = np.full(stretches, -1, np.int64)
    column, most = file.mark
    begin = 0
    for end in _WINDOWS:
        room = len(file.data) - (start + end + column + 4)
        fitting = min(stretches, room // STRETCH + 1)
        if fitting <= 0:
            break
        # The mark at every offset of the window, for every stretch that has one: no copy.
        marks: NDArray[np.uint32] = np.ndarray(
            (fitting, end - begin), f"{file.order}u4", file.data.data, start + begin + column, (STRETCH, 1)
        )
        wanted = np.flatnonzero(guess[:fitting] < 0)
        for some in np.array_split(wanted, len(wanted) * (end - begin) // _CELLS + 1):
            which, ahead = np.nonzero(marks[some] <= most)
            which = some[which]
            begins = start + STRETCH * which + begin + ahead
            kept = np.flatnonzero(file.likely(begins))
            at = begins[kept]
            for _ in range(_LIKELY - 1):
                at = file.after(at)
                good = (at >= 0) & file.likely(at)
                kept, at = kept[good], at[good]
            guess[which[kept[::-1]]] = begins[kept[::-1]]  # the last assignment stands: that of the first record
        begin = end
    return guess
