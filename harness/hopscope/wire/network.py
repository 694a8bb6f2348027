"""IP headers: IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather
from hopscope.wire.packets import V4_MAPPED, Malformed

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS = (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION)
_MOST_EXTENSIONS = 8


@dataclass(frozen=True, eq=False)
class Network:
    """Columns of the IP layer; ``family`` is 0 where no whole IP header was captured."""

    family: NDArray[np.uint8]
    l3_offset: NDArray[np.int64]
    src_hi: NDArray[np.uint64]
    src_lo: NDArray[np.uint64]
    dst_hi: NDArray[np.uint64]
    dst_lo: NDArray[np.uint64]
    proto: NDArray[np.uint8]
    ttl: NDArray[np.uint8]
    ip_id: NDArray[np.uint16]
    fragment: NDArray[np.bool_]
    inner: NDArray[np.int64]
    """Where what IP carries starts, -1 none or not the first part of a datagram."""
    inner_len: NDArray[np.int64]
    """Its bytes by the IP length."""
    malformed: NDArray[np.uint8]


def decode(
    data: NDArray[np.uint8],
    l3: NDArray[np.int64],
    end: NDArray[np.int64],
    wire_end: NDArray[np.int64],
    family: NDArray[np.uint8],
) -> Network:
    """Read the header at ``l3`` of each frame; captured bytes end at ``end``, the frame itself at ``wire_end``."""
    count = len(l3)
    out = Network(
        family=family.copy(),
        l3_offset=l3.copy(),
        src_hi=np.zeros(count, np.uint64),
        src_lo=np.zeros(count, np.uint64),
        dst_hi=np.zeros(count, np.uint64),
        dst_lo=np.zeros(count, np.uint64),
        proto=np.zeros(count, np.uint8),
        ttl=np.zeros(count, np.uint8),
        ip_id=np.zeros(count, np.uint16),
        fragment=np.zeros(count, np.bool_),
        inner=np.full(count, -1, np.int64),
        inner_len=np.zeros(count, np.int64),
        malformed=np.zeros(count, np.uint8),
    )
    _decode_v4(data, out, end, wire_end)
    _decode_v6(data, out, end, wire_end)
    return out


def _decode_v4(data: NDArray[np.uint8], out: Network, end: NDArray[np.int64], wire_end: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(out.family == 4)
    if not len(rows):
        return
    at = out.l3_offset[rows]
    head = gather.block(data, at, 20)
    header = (head[:, 0] & 15).astype(np.int64) * 4
    good = (head[:, 0] >> 4 == 4) & (header >= 20) & (at + header <= end[rows])
    if not good.all():
        _drop(out, rows[~good])
        rows, at, header, head = rows[good], at[good], header[good], head[good]

    total = gather.field(head, 2, 2)
    # Segmentation offload (BIG TCP, some drivers) leaves the length 0: the frame says it then.
    total = np.where(total == 0, wire_end[rows] - at, total)
    bad = (total < header) | (at + total > wire_end[rows])
    part = gather.field(head, 6, 2)
    out.ip_id[rows] = gather.field(head, 4, 2)
    out.ttl[rows] = head[:, 8]
    out.proto[rows] = head[:, 9]
    out.src_lo[rows] = gather.field(head, 12, 4) | V4_MAPPED
    out.dst_lo[rows] = gather.field(head, 16, 4) | V4_MAPPED
    out.fragment[rows] = part & 0x3FFF != 0
    out.malformed[rows[bad]] = Malformed.NETWORK
    carried = ~bad & (part & 0x1FFF == 0)
    out.inner[rows[carried]] = (at + header)[carried]
    out.inner_len[rows[carried]] = (total - header)[carried]


def _decode_v6(data: NDArray[np.uint8], out: Network, end: NDArray[np.int64], wire_end: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(out.family == 6)
    if not len(rows):
        return
    at = out.l3_offset[rows]
    head = gather.block(data, at, 40)
    good = (head[:, 0] >> 4 == 6) & (at + 40 <= end[rows])
    _drop(out, rows[~good])
    rows, at, head = rows[good], at[good], head[good]

    length = gather.field(head, 4, 2)
    # A jumbogram (RFC 2675), or a superframe larger than the field: the frame says it.
    length = np.where(length == 0, wire_end[rows] - at - 40, length)
    bad = at + 40 + length > wire_end[rows]
    out.ttl[rows] = head[:, 7]
    out.src_hi[rows], out.src_lo[rows] = gather.wide_field(head, 8, 8), gather.wide_field(head, 16, 8)
    out.dst_hi[rows], out.dst_lo[rows] = gather.wide_field(head, 24, 8), gather.wide_field(head, 32, 8)
    out.malformed[rows[bad]] = Malformed.NETWORK

    kind = gather.field(head, 6, 1)
    inner = at + 40
    stop = at + 40 + length
    carried = ~bad
    for _ in range(_MOST_EXTENSIONS):
        step = np.flatnonzero(carried & np.isin(kind, _EXTENSIONS))
        if not len(step):
            break
        where, which = inner[step], kind[step]
        following, units = gather.u8(data, where), gather.u8(data, where + 1)
        size = np.select([which == _FRAGMENT, which == _AUTHENTICATION], [8, (units + 2) * 4], (units + 1) * 8)
        inside = (where + 8 <= end[rows[step]]) & (where + size <= stop[step])
        part = gather.u16(data, where + 2)
        # The only part of a datagram is no fragment, whatever its header is called (RFC 6946).
        out.fragment[rows[step[(which == _FRAGMENT) & (part & 0xFFF9 != 0)]]] = True
        later = (which == _FRAGMENT) & (part & 0xFFF8 != 0)
        carried[step[~inside | later]] = False
        out.malformed[rows[step[~inside]]] = Malformed.NETWORK
        inner[step], kind[step] = where + size, following
    carried &= ~np.isin(kind, _EXTENSIONS)
    out.proto[rows] = kind
    out.inner[rows[carried]] = inner[carried]
    out.inner_len[rows[carried]] = (stop - inner)[carried]


def _drop(out: Network, rows: NDArray[np.int64]) -> None:
    """The bytes that should be an IP header are none."""
    out.family[rows] = 0
    out.l3_offset[rows] = -1
    out.malformed[rows] = Malformed.NETWORK
