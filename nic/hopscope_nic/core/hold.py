"""Segments that wait for the server's answer: in order, bounded per flow and in all."""

from __future__ import annotations

from typing import List, Set, Tuple

from hopscope_nic.core.segment import ENDS, Segment

OVERHEAD = 512  # what a kept segment costs beside its octets, so that empty ones are bounded too


class HoldPool:
    """Octets held by all flows together."""

    __slots__ = ("limit", "octets")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.octets = 0


class Held:
    """One direction of one flow. Exact repetitions are not kept: the first copy will do what they would."""

    __slots__ = ("_limit", "_pool", "_seen", "_segments", "octets")

    def __init__(self, pool: HoldPool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._segments: List[Segment] = []
        self._seen: Set[Tuple[int, int, int]] = set()
        self.octets = 0

    def __len__(self) -> int:
        return len(self._segments)

    def is_repetition(self, segment: Segment) -> bool:
        """Whether the same range with the same FIN and RST is held already."""
        return (segment.seq, segment.payload_length, segment.flags & ENDS) in self._seen

    def add(self, segment: Segment) -> bool:
        """Keep a copy. False when a bound forbids it."""
        cost = segment.end + OVERHEAD
        if self.octets + cost > self._limit or self._pool.octets + cost > self._pool.limit:
            return False
        self._segments.append(segment.copy())
        self._seen.add((segment.seq, segment.payload_length, segment.flags & ENDS))
        self.octets += cost
        self._pool.octets += cost
        return True

    def take(self) -> List[Segment]:
        """All of it, in the order of arrival; nothing is held afterwards."""
        segments = self._segments
        self._segments = []
        self._seen = set()
        self._pool.octets -= self.octets
        self.octets = 0
        return segments
