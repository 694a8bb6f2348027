"""One capture as columns: one row for each frame, in file order.

Absent values are -1 in signed columns (offsets, options) and 0 in unsigned ones; ``family``, ``proto`` and the offsets
say what a row has. Nothing here copies payload: ``data`` is the mapped file and offsets point into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
"""Protocol numbers (IANA) that are decoded beyond the IP header."""

V4_MAPPED = 0xFFFF << 32
"""``*_lo`` of an IPv4 address is ``V4_MAPPED | address``, its ``*_hi`` is 0 (RFC 4291, 2.5.5.2)."""


class ChecksumState(IntEnum):
    """What a checksum field says about the bytes it covers."""

    ABSENT = 0
    """No such field here: IPv6 header, UDP over IPv4 with 0, a protocol that is not TCP, UDP or ICMP."""
    GOOD = 1
    BAD = 2
    PARTIAL = 3
    """CHECKSUM_PARTIAL: the field holds the folded pseudo-header sum; hardware was to finish it (TX offload)."""
    UNVERIFIABLE = 4
    """A fragment, or a frame of which the capture kept less than the field covers."""
    MALFORMED = 5
    """The lengths of the headers contradict each other."""


class Malformed(IntEnum):
    """Where decoding of a whole frame met a contradiction; columns of the layers above it are absent."""

    NO = 0
    NETWORK = 1
    TRANSPORT = 2
    OPTIONS = 3
    """TCP options run past their space; those before the break are kept."""


@dataclass(frozen=True, eq=False)
class Packets:
    """Columns of one capture, all of length ``len(packets)``."""

    path: str
    """File the rows come from."""
    data: NDArray[np.uint8]
    """The whole file, mapped read-only; several small files that were read together, one after the other."""
    truncated: bool
    """The file ends in the middle of a record, or a record is damaged: rows end there."""

    time: NDArray[np.int64]
    """Nanoseconds since the epoch, on the clock of the tap's host."""
    frame: NDArray[np.int64]
    """Number of the frame in the file, from 1, as Wireshark shows it."""
    interface: NDArray[np.int32]
    """Interface of the frame where the file tells (pcapng interface number, ifindex of LINUX_SLL2), else 0."""
    outgoing: NDArray[np.int8]
    """1 sent by the capturing host, 0 received, -1 not told (only the cooked link layers of ``-i any`` tell)."""
    offset: NDArray[np.int64]
    """Where the frame starts in ``data``."""
    caplen: NDArray[np.int32]
    """Bytes the capture kept."""
    wirelen: NDArray[np.int32]
    """Bytes the frame had."""
    cut: NDArray[np.bool_]
    """caplen < wirelen."""
    malformed: NDArray[np.uint8]
    """Member of Malformed."""

    src_mac: NDArray[np.uint64]
    """48-bit address, 0 where the link layer has none."""
    dst_mac: NDArray[np.uint64]
    family: NDArray[np.uint8]
    """4, 6, or 0 for anything else (ARP, LLDP, unknown link layers)."""
    l3_offset: NDArray[np.int64]
    """Where the IP header starts in ``data``, -1 none."""
    src_hi: NDArray[np.uint64]
    src_lo: NDArray[np.uint64]
    dst_hi: NDArray[np.uint64]
    dst_lo: NDArray[np.uint64]
    proto: NDArray[np.uint8]
    """IP protocol (after IPv6 extension headers)."""
    ttl: NDArray[np.uint8]
    """TTL or hop limit."""
    ip_id: NDArray[np.uint16]
    fragment: NDArray[np.bool_]
    """Part of a fragmented datagram, the first part included."""

    l4_offset: NDArray[np.int64]
    """Where the TCP, UDP or ICMP header starts in ``data``, -1 none (also where the header is not all there)."""
    l4_len: NDArray[np.int32]
    """Bytes of header and payload by the IP length (not caplen, not link padding); 0 where l4_offset is -1."""
    payload_offset: NDArray[np.int64]
    """Where the payload of TCP or UDP (or what follows 8 bytes of ICMP) starts in ``data``, -1 none."""
    payload_len: NDArray[np.int32]
    """By the IP length: larger than what is in ``data`` when the frame is cut."""
    sport: NDArray[np.uint16]
    dport: NDArray[np.uint16]

    flags: NDArray[np.uint8]
    """TCP flags, 0 for anything that is not TCP."""
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    """The field as it stands, whether or not ACK is set."""
    window: NDArray[np.uint16]
    """As on the wire, not scaled."""
    tcp_hlen: NDArray[np.uint8]
    """Bytes of TCP header with options."""
    mss: NDArray[np.int32]
    wscale: NDArray[np.int16]
    sack_permitted: NDArray[np.bool_]
    sack_count: NDArray[np.uint8]
    """SACK blocks, 0..4."""
    tsval: NDArray[np.int64]
    tsecr: NDArray[np.int64]

    vouched: bool = False
    """The host that took the capture has cut the payload out of segments whose TCP checksum it found right."""
    of: tuple[Packets, slice] | None = field(default=None, repr=False)
    """The rows of several files that these are a part of: what is worked out later is worked out for all at once."""

    def __len__(self) -> int:
        return len(self.time)

    @property
    def is_tcp(self) -> NDArray[np.bool_]:
        """Rows with a TCP header that was decoded."""
        return np.asarray((self.proto == TCP) & (self.l4_offset >= 0))

    def payload(self, row: int) -> bytes:
        """Payload bytes of a row as far as the capture kept them."""
        start = int(self.payload_offset[row])
        if start < 0:
            return b""
        end = min(start + int(self.payload_len[row]), int(self.offset[row]) + int(self.caplen[row]))
        return self.data[start:end].tobytes()

    def frame_bytes(self, row: int) -> bytes:
        """The frame of a row as captured."""
        start = int(self.offset[row])
        return self.data[start : start + int(self.caplen[row])].tobytes()

    def src(self, row: int) -> IPv4Address | IPv6Address:
        return address(int(self.src_hi[row]), int(self.src_lo[row]))

    def dst(self, row: int) -> IPv4Address | IPv6Address:
        return address(int(self.dst_hi[row]), int(self.dst_lo[row]))

    def take(self, rows: NDArray[Any]) -> Packets:
        """The same capture with some of its rows (indices or mask); frame numbers stay those of the file."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in kept.items():
            if isinstance(value, np.ndarray) and name != "data":
                kept[name] = value[rows]
        return Packets(**kept | {"of": None})

    def part(self, rows: slice, path: str, *, truncated: bool) -> Packets:
        """The rows of one file, of those of several."""
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in columns.items():
            if isinstance(value, np.ndarray) and name != "data":
                columns[name] = value[rows]
        frame = np.arange(1, len(columns["time"]) + 1, dtype=np.int64)
        return Packets(**columns | {"path": path, "truncated": truncated, "frame": frame, "of": (self, rows)})

    @cached_property
    def sack(self) -> NDArray[np.uint32]:
        """Edges of the SACK blocks, shape (n, 8): left, right, left, right …, zeros behind the last block."""
        from hopscope.wire import gather, options

        if self.of is not None:
            return self.of[0].sack[self.of[1]]
        out = np.zeros((len(self), 8), np.uint32)
        rows = np.flatnonzero(self.sack_count)
        if not len(rows):
            return out
        at = self.l4_offset[rows]
        stop = np.minimum(self.tcp_hlen[rows], self.offset[rows] + self.caplen[rows] - at)
        out[rows] = options.sack_edges(gather.block(self.data, at, 60), stop)
        return out

    @cached_property
    def ip_checksum(self) -> NDArray[np.uint8]:
        """ChecksumState of the IPv4 header of each row."""
        from hopscope.wire import checksum

        return checksum.ip_states(self) if self.of is None else self.of[0].ip_checksum[self.of[1]]

    @cached_property
    def l4_checksum(self) -> NDArray[np.uint8]:
        """ChecksumState of the TCP, UDP or ICMP checksum of each row; that of a segment that was cut is vouched for."""
        from hopscope.wire import checksum

        return checksum.l4_states(self) if self.of is None or self.vouched else self.of[0].l4_checksum[self.of[1]]


def address(hi: int, lo: int) -> IPv4Address | IPv6Address:
    """The address behind a pair of columns."""
    if hi == 0 and lo >> 32 == 0xFFFF:
        return IPv4Address(lo & 0xFFFFFFFF)
    return IPv6Address(hi << 64 | lo)
