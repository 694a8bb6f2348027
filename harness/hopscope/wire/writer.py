"""Write captures as nanosecond pcap, little-endian: for tests, mutations and excerpts."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from hopscope.wire.packets import Packets

ETHERNET = 1
_MAGIC_NS = 0xA1B23C4D


def write_pcap(
    path: Path, frames: Iterable[tuple[int, bytes]], *, linktype: int = ETHERNET, snaplen: int = 262144
) -> None:
    """Write (time in ns, frame) pairs, in the order given; frames longer than snaplen are cut."""
    parts = [struct.pack("<IHHiIII", _MAGIC_NS, 2, 4, 0, 0, snaplen, linktype)]
    for time, frame in frames:
        kept = frame[:snaplen]
        parts.append(struct.pack("<IIII", time // 1_000_000_000, time % 1_000_000_000, len(kept), len(frame)))
        parts.append(kept)
    path.write_bytes(b"".join(parts))


def frames_of(packets: Packets) -> list[tuple[int, bytes]]:
    """(time, frame) pairs of a capture as kept: what write_pcap takes, to mutate a trace frame by frame."""
    return [(int(packets.time[row]), packets.frame_bytes(row)) for row in range(len(packets))]
