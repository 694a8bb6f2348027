"""Nothing of what goes through the tunnel can be read on the way: inner packets and their payload, at any offset.

Needles are taken from the captures of the devices: the first bytes of the inner packet, and a stretch of its payload
that does not look like filling. They are looked for in every frame outside of the tunnel, and in the transport's
stream put together, as a packet may lie across two segments. Data that is compressed or disguised without a key is
not found by this.

Cannot prove: that it is encrypted well, or at all: it shows what could be read. At most 60 packets of each device and
direction are looked for, spread over the capture; fewer where captures are large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.evidence import count
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.wire.seq import distance
from hopscope.wire.tunnel import Capture, Side, TunnelTrace

NEEDLE = 20
"""Bytes: as many as an IPv4 header has."""
DISTINCT = 8
"""Of these, different ones: less may be met by chance, or be filling."""
SHOWN = 5
"""Pieces of evidence for each capture."""
MOST, LEAST = 60, 5
"""Inner packets that are looked for, of each direction and device, spread over the whole capture."""
SEARCH_BYTES = 500_000_000
"""Where more than this would be searched for that many, fewer are looked for: some seconds then."""


@dataclass(frozen=True)
class Secrecy:
    name: str = "secrecy"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if not trace.secret:
            return not_applicable(
                self.name, f"{trace.name} does not claim to hide what goes through it (secret: false)"
            )
        outside = trace.outside
        searched = sum(int(each.packets.caplen.sum()) for each in outside)
        most = max(LEAST, min(MOST, SEARCH_BYTES // max(searched, 1)))
        needles: dict[bytes, str] = {}
        for needle, where in (each for side in trace.sides for each in _needles(side, most)):
            needles.setdefault(needle, where)
        if not needles:
            return inconclusive(self.name, "nothing went through the tunnel that could have been read on the way")
        if not any(len(each.packets) for each in outside):
            return inconclusive(self.name, "no frame was captured outside of the tunnel")
        found, shown = [], []
        for capture in outside:
            here = [*_in_frames(capture, needles), *_in_streams(trace, capture, needles)]
            found += here
            shown += here[:SHOWN]
        metrics = {"needles": len(needles), "bytes": searched}
        if found:
            first = found[0]
            return failed(
                self.name, f"{first.seen} in clear on {first.tap}, frame {first.frames[0]}", judged=len(needles),
                failed=len({each.flow for each in found}), evidence=shown, metrics=metrics,
            )  # fmt: skip
        return passed(
            self.name, f"none of {count(len(needles), 'piece')} of inner packets in {searched:,} bytes outside",
            judged=len(needles), metrics=metrics,
        )  # fmt: skip


def secrecy() -> Secrecy:
    return Secrecy()


def _needles(side: Side, most: int) -> Iterator[tuple[bytes, str]]:
    for capture in side.tun:
        packets, leaving = capture.packets, side.leaving(capture)
        for way in (True, False):
            rows = np.flatnonzero((leaving == way) & (packets.l3_offset >= 0))
            for row in rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))].tolist():
                where = f"{capture.file} frame {packets.frame[row]}"
                start = int(packets.l3_offset[row])
                yield packets.data[start : start + NEEDLE].tobytes(), f"header of {where}"
                if (piece := _telling(packets.payload(row))) is not None:
                    yield piece, f"payload of {where}"


def _telling(payload: bytes) -> bytes | None:
    """A stretch of a payload by which it would be known, from its middle, where no time stamps are."""
    middle = len(payload) // 2
    for start in (middle, 0, len(payload) - NEEDLE):
        piece = payload[max(start, 0) : max(start, 0) + NEEDLE]
        if len(piece) == NEEDLE and len(set(piece)) >= DISTINCT:
            return piece
    return None


def _in_frames(capture: Capture, needles: dict[bytes, str]) -> list[Evidence]:
    """Needles in the frames of a capture: searched in the whole file at once, then the frame is looked up."""
    packets = capture.packets
    if not len(packets):
        return []
    low, high = int(packets.offset[0]), int(packets.offset[-1] + packets.caplen[-1])
    text = packets.data[low:high].tobytes()
    found = []
    for needle, where in needles.items():
        at = text.find(needle)
        if at >= 0:
            row = int(np.searchsorted(packets.offset, low + at, side="right")) - 1
            found.append(_evidence(capture, row, where))
    return found


def _in_streams(trace: TunnelTrace, capture: Capture, needles: dict[bytes, str]) -> list[Evidence]:
    """Needles in the transport's streams: what lies across two frames is found here alone."""
    found = []
    for side in trace.sides:
        for rows in _connections(capture, trace.carrying(capture, side)):
            text, starts = _stream(capture, rows)
            for needle, where in needles.items():
                at = text.find(needle)
                if at >= 0:
                    found.append(_evidence(capture, rows[int(np.searchsorted(starts, at, side="right")) - 1], where))
    return found


def _connections(capture: Capture, rows: NDArray[np.int64]) -> Iterator[list[int]]:
    """The rows with payload of each pair of ports, in the order of their sequence numbers, each byte once."""
    packets = capture.packets
    rows = rows[packets.payload_len[rows] > 0]
    ports = packets.sport[rows].astype(np.int64) << 16 | packets.dport[rows]
    for pair in np.unique(ports):
        mine = rows[ports == pair]
        offset = distance(packets.seq[mine], int(packets.seq[mine[0]]))
        order = np.lexsort((packets.time[mine], offset))
        kept, reached = [], -(2**31)
        for place in order.tolist():
            end = int(offset[place]) + int(packets.payload_len[mine[place]])
            if end > reached:
                kept.append(int(mine[place]))
                reached = end
        yield kept


def _stream(capture: Capture, rows: list[int]) -> tuple[bytes, list[int]]:
    """The bytes of rows one after the other, without what a row repeats, and where each row begins in them."""
    packets = capture.packets
    parts: list[bytes] = []
    starts: list[int] = []
    length, reached = 0, None
    for row in rows:
        payload, begin = packets.payload(row), int(packets.seq[row])
        known = 0 if reached is None else max(0, min(len(payload), int(distance(reached, begin))))
        starts.append(length)
        parts.append(payload[known:])
        length += len(payload) - known
        reached = (begin + len(payload)) % 2**32
    return b"".join(parts), starts


def _evidence(capture: Capture, row: int, where: str) -> Evidence:
    return Evidence(where, capture.file, (int(capture.packets.frame[row]),), "nothing of it outside", f"the {where}")
