"""Link layers: Ethernet with VLAN tags, raw IP, Linux cooked v1 and v2, BSD loopback (tcpdump.org/linktypes.html)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather

ETHERNET, LINUX_SLL, LINUX_SLL2 = 1, 113, 276
RAW = (12, 14, 101, 228, 229)
"""LINKTYPE_RAW, the two DLT_RAW values that some programs write in its place, LINKTYPE_IPV4 and LINKTYPE_IPV6."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 4

_OUTGOING = 4
"""Packet type of the cooked headers: sent by us."""


@dataclass(frozen=True, eq=False)
class Links:
    src_mac: NDArray[np.uint64]
    dst_mac: NDArray[np.uint64]
    family: NDArray[np.uint8]
    l3_offset: NDArray[np.int64]
    """-1 where what follows is not IP, or not there."""
    ifindex: NDArray[np.int64]
    outgoing: NDArray[np.int8]
    """1 sent by the capturing host, 0 received, -1 the link layer does not tell."""


def decode(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], linktype: NDArray[np.int32]
) -> Links:
    """Find the IP header of each frame [start, end) of a file."""
    count = len(start)
    src = np.zeros(count, np.uint64)
    dst = np.zeros(count, np.uint64)
    kind = np.zeros(count, np.int64)
    l3 = np.full(count, -1, np.int64)
    ifindex = np.zeros(count, np.int64)
    outgoing = np.full(count, -1, np.int8)

    rows = np.flatnonzero((linktype == ETHERNET) & (end - start >= 14))
    at = start[rows]
    dst[rows], src[rows] = gather.u48(data, at), gather.u48(data, at + 6)
    kind[rows], l3[rows] = gather.u16(data, at + 12), at + 14

    rows = np.flatnonzero((linktype == LINUX_SLL) & (end - start >= 16))
    at = start[rows]
    src[rows] = np.where(gather.u16(data, at + 4) == 6, gather.u48(data, at + 6), np.uint64(0))
    kind[rows], l3[rows] = gather.u16(data, at + 14), at + 16
    outgoing[rows] = gather.u16(data, at) == _OUTGOING

    rows = np.flatnonzero((linktype == LINUX_SLL2) & (end - start >= 20))
    at = start[rows]
    src[rows] = np.where(gather.u8(data, at + 11) == 6, gather.u48(data, at + 12), np.uint64(0))
    kind[rows], l3[rows] = gather.u16(data, at), at + 20
    ifindex[rows] = gather.u32(data, at + 4) & 0x7FFFFFFF
    outgoing[rows] = gather.u8(data, at + 10) == _OUTGOING

    rows = np.flatnonzero(np.isin(linktype, RAW) & (end > start))
    version = gather.u8(data, start[rows]) >> 4
    kind[rows] = np.select([version == 4, version == 6], [_IPV4, _IPV6], 0)
    l3[rows] = start[rows]

    for _ in range(_MOST_TAGS):
        rows = np.flatnonzero(np.isin(kind, _TAGS))
        if not len(rows):
            break
        inside = l3[rows] + 4 <= end[rows]
        kind[rows] = np.where(inside, gather.u16(data, l3[rows] + 2), 0)
        l3[rows] += 4

    family = np.select([kind == _IPV4, kind == _IPV6], [4, 6], 0).astype(np.uint8)
    l3[family == 0] = -1
    return Links(src, dst, family, l3, ifindex, outgoing)
