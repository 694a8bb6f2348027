"""Link layers: Ethernet with VLAN tags, raw IP, Linux cooked v1 and v2, BSD loopback (tcpdump.org/linktypes.html)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather

ETHERNET, LINUX_SLL, LINUX_SLL2, NULL, LOOP = 1, 113, 276, 0, 108
RAW = (12, 14, 101, 228, 229)
"""LINKTYPE_RAW, the two DLT_RAW values that some programs write in its place, LINKTYPE_IPV4 and LINKTYPE_IPV6."""

_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_MOST_TAGS = 4

_AF_INET = 2
_AF_INET6 = (10, 24, 28, 30)
"""Linux; NetBSD and OpenBSD; FreeBSD; macOS."""

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

    rows, head = _heads(data, start, end, linktype == ETHERNET, 14)
    if len(rows):
        dst[rows], src[rows] = gather.wide_field(head, 0, 6), gather.wide_field(head, 6, 6)
        kind[rows], l3[rows] = gather.field(head, 12, 2), start[rows] + 14

    rows, head = _heads(data, start, end, linktype == LINUX_SLL, 16)
    if len(rows):
        src[rows] = np.where(gather.field(head, 4, 2) == 6, gather.wide_field(head, 6, 6), np.uint64(0))
        kind[rows], l3[rows] = gather.field(head, 14, 2), start[rows] + 16
        outgoing[rows] = gather.field(head, 0, 2) == _OUTGOING

    rows, head = _heads(data, start, end, linktype == LINUX_SLL2, 20)
    if len(rows):
        src[rows] = np.where(gather.field(head, 11, 1) == 6, gather.wide_field(head, 12, 6), np.uint64(0))
        kind[rows], l3[rows] = gather.field(head, 0, 2), start[rows] + 20
        ifindex[rows] = gather.field(head, 4, 4) & 0x7FFFFFFF
        outgoing[rows] = gather.field(head, 10, 1) == _OUTGOING

    for loopback, order in ((linktype == NULL, "<"), (linktype == LOOP, ">")):
        rows, head = _heads(data, start, end, loopback, 4)
        if len(rows):
            number = gather.field(head, 0, 4, order)
            # LINKTYPE_NULL is in the byte order of the capturing machine; no family is above 65535.
            number = np.where(number > 0xFFFF, gather.field(head, 0, 4, ">"), number)
            kind[rows] = np.select([number == _AF_INET, np.isin(number, _AF_INET6)], [_IPV4, _IPV6], 0)
            l3[rows] = start[rows] + 4

    rows, head = _heads(data, start, end, np.isin(linktype, RAW), 1)
    if len(rows):
        version = head[:, 0] >> 4
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


def _heads(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64], mine: NDArray[np.bool_], size: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Rows of one link layer whose header was captured whole, and those headers."""
    rows = np.flatnonzero(mine & (end - start >= size))
    return rows, gather.block(data, start[rows], size)
