"""The bytes that one side of one flow showed at one tap: which ranges, and what they were."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from hopscope.checks.view import View
from hopscope.wire.packets import SYN, Packets


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, end) of the stream, first seen in ``row``, ``skip`` bytes into its payload."""

    start: int
    end: int
    row: int
    skip: int


class Stream:
    """Reassembly of one side of one flow at one tap. Of a range that was seen twice the first copy counts."""

    def __init__(self, packets: Packets, seen: View) -> None:
        self.packets = packets
        self.pieces: list[Piece] = []
        data = seen[seen.length > 0]
        starts = first_byte(data)
        reach = None
        for at in np.lexsort((data.row, starts)):
            start, row, end = int(starts[at]), int(data.row[at]), int(starts[at] + data.length[at])
            skip = 0 if reach is None else max(0, reach - start)
            if start + skip < end:
                self.pieces.append(Piece(start + skip, end, row, skip))
            reach = end if reach is None else max(reach, end)
        self._starts = [piece.start for piece in self.pieces]

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that were not seen."""
        gaps, at = [], start
        index = max(0, bisect_right(self._starts, start) - 1)
        while index < len(self.pieces) and self.pieces[index].start < end and at < end:
            piece = self.pieces[index]
            if piece.end > at:
                if piece.start > at:
                    gaps.append((at, min(piece.start, end)))
                at = piece.end
            index += 1
        if at < end:
            gaps.append((at, end))
        return gaps

    def covers(self, start: int, end: int) -> bool:
        return not self.missing(start, end)

    def read(self, start: int, end: int) -> tuple[bytes, int] | None:
        """The bytes of [start, end) and how many of them the capture kept, from the front; None where not covered."""
        if not self.covers(start, end):
            return None
        parts: list[bytes] = []
        at = start
        index = max(0, bisect_right(self._starts, start) - 1)
        while at < end:
            piece = self.pieces[index]
            if piece.end > at:
                offset = piece.skip + at - piece.start
                wanted = min(piece.end, end) - at
                kept = self.packets.payload(piece.row)[offset : offset + wanted]
                parts.append(kept)
                at += len(kept)
                if len(kept) < wanted:  # cut by the snap length
                    break
            index += 1
        return b"".join(parts), at - start

    def row_of(self, at: int) -> int | None:
        """The row that showed the byte first."""
        index = bisect_right(self._starts, at) - 1
        return self.pieces[index].row if index >= 0 and at < self.pieces[index].end else None


def first_byte(seen: View) -> np.ndarray:
    """Relative number of the first payload byte of each segment: behind the SYN where there is one."""
    return np.asarray(seen.seq + ((seen.flags & SYN) != 0))
