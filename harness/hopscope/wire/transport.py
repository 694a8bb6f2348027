"""TCP (RFC 9293) with its options, UDP (RFC 768) and ICMP headers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather, options
from hopscope.wire.network import Network
from hopscope.wire.options import Options
from hopscope.wire.packets import ICMP, ICMPV6, TCP, UDP, Malformed

_LONGEST = 60
"""Bytes of a TCP header with all the options that fit."""


@dataclass(frozen=True, eq=False)
class Transport:
    l4_offset: NDArray[np.int64]
    l4_len: NDArray[np.int32]
    payload_offset: NDArray[np.int64]
    payload_len: NDArray[np.int32]
    sport: NDArray[np.uint16]
    dport: NDArray[np.uint16]
    flags: NDArray[np.uint8]
    seq: NDArray[np.uint32]
    ack: NDArray[np.uint32]
    window: NDArray[np.uint16]
    tcp_hlen: NDArray[np.uint8]
    malformed: NDArray[np.uint8]
    options: Options


def decode(data: NDArray[np.uint8], ip: Network, end: NDArray[np.int64], *, with_options: bool = True) -> Transport:
    """Read what IP carries in each frame; captured bytes end at ``end``. Options are left out where none are wanted."""
    count = len(ip.inner)
    out = Transport(
        l4_offset=np.full(count, -1, np.int64),
        l4_len=np.zeros(count, np.int32),
        payload_offset=np.full(count, -1, np.int64),
        payload_len=np.zeros(count, np.int32),
        sport=np.zeros(count, np.uint16),
        dport=np.zeros(count, np.uint16),
        flags=np.zeros(count, np.uint8),
        seq=np.zeros(count, np.uint32),
        ack=np.zeros(count, np.uint32),
        window=np.zeros(count, np.uint16),
        tcp_hlen=np.zeros(count, np.uint8),
        malformed=np.zeros(count, np.uint8),
        options=options.empty(count),
    )
    carried = ip.inner >= 0
    _decode_tcp(data, ip, end, np.flatnonzero(carried & (ip.proto == TCP)), out, with_options)
    for proto in (UDP, ICMP, ICMPV6):
        _decode_short(data, ip, end, np.flatnonzero(carried & (ip.proto == proto)), out, udp=proto == UDP)
    return out


def _decode_tcp(
    data: NDArray[np.uint8], ip: Network, end: NDArray[np.int64], rows: NDArray[np.int64], out: Transport,
    with_options: bool,
) -> None:  # fmt: skip
    if not len(rows):
        return
    at, length = ip.inner[rows], ip.inner_len[rows]
    head = gather.block(data, at, _LONGEST if with_options else 20)
    header = (head[:, 12] >> 4).astype(np.int64) * 4
    good = (length >= 20) & (at + 20 <= end[rows]) & (header >= 20) & (header <= length)
    if not good.all():
        out.malformed[rows[~good]] = Malformed.TRANSPORT
        rows, at, length, header, head = rows[good], at[good], length[good], header[good], head[good]
    out.l4_offset[rows], out.l4_len[rows] = at, length
    out.sport[rows], out.dport[rows] = gather.field(head, 0, 2), gather.field(head, 2, 2)
    out.seq[rows], out.ack[rows] = gather.field(head, 4, 4), gather.field(head, 8, 4)
    out.flags[rows] = head[:, 13]
    out.window[rows] = gather.field(head, 14, 2)
    out.tcp_hlen[rows] = header
    out.payload_offset[rows], out.payload_len[rows] = at + header, length - header
    if not with_options:
        return
    broken = options.decode(head, np.minimum(header, end[rows] - at), out.options, rows)
    out.malformed[rows[broken]] = Malformed.OPTIONS


def _decode_short(
    data: NDArray[np.uint8],
    ip: Network,
    end: NDArray[np.int64],
    rows: NDArray[np.int64],
    out: Transport,
    *,
    udp: bool,
) -> None:
    """UDP, and ICMP: both have 8 bytes of header."""
    if not len(rows):
        return
    at, length = ip.inner[rows], ip.inner_len[rows]
    good = (length >= 8) & (at + 8 <= end[rows])
    if udp:
        stated = gather.u16(data, at + 4)
        # 0 stands for "as long as the packet" in jumbograms (RFC 2675).
        stated = np.where(stated == 0, length, stated)
        good &= ip.fragment[rows] | ((stated >= 8) & (stated <= length))
        length = np.minimum(length, stated)
    out.malformed[rows[~good]] = Malformed.TRANSPORT
    rows, at, length = rows[good], at[good], length[good]
    out.l4_offset[rows], out.l4_len[rows] = at, length
    out.payload_offset[rows], out.payload_len[rows] = at + 8, length - 8
    if udp:
        out.sport[rows], out.dport[rows] = gather.u16(data, at), gather.u16(data, at + 2)
