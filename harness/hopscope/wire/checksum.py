"""Checksums of all rows at once: IPv4 header, TCP, UDP, ICMP and ICMPv6 (RFC 1071, RFC 8200 section 8.1).

The ones' complement sum of 16-bit words is the plain sum modulo 65535, whatever the width of the words that are
added. So the file is read as 32-bit words where it lies, the words that a row touches are summed, and the bytes of the
first and the last of them that are not the row's are taken off again. A row that starts at an odd offset has its bytes
in the other half of the words: its sum is turned by one byte at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather
from hopscope.wire.packets import ICMP, ICMPV6, TCP, UDP, ChecksumState, Malformed, Packets

_BLOCK = 1 << 16
"""Words summed at a time, widened to 64 bits: what a processor's cache holds."""

_ROWS = 1 << 16

_ONES = 65535

_SUMMED = np.isin(np.arange(256), (TCP, UDP, ICMP, ICMPV6))
"""By protocol: whether it has a checksum that is known here."""


def ip_states(packets: Packets) -> NDArray[np.uint8]:
    """ChecksumState of each IPv4 header; ABSENT for anything else."""
    states = np.full(len(packets), ChecksumState.ABSENT, np.uint8)
    rows = np.flatnonzero(packets.family == 4)
    total = np.concatenate([_header_sums(packets, rows[at : at + _ROWS]) for at in range(0, max(len(rows), 1), _ROWS)])
    # A header of zeros sums to 0 as well, but a header starts with 0x45.
    states[rows] = np.where(total == 0, ChecksumState.GOOD, ChecksumState.BAD)
    states[packets.malformed == Malformed.NETWORK] = ChecksumState.MALFORMED
    return states


def l4_states(packets: Packets) -> NDArray[np.uint8]:
    """ChecksumState of the TCP, UDP or ICMP checksum of each row."""
    states = np.full(len(packets), ChecksumState.ABSENT, np.uint8)
    known = _SUMMED[packets.proto] & (packets.family > 0)
    states[known] = ChecksumState.UNVERIFIABLE
    broken = (packets.malformed == Malformed.NETWORK) | (packets.malformed == Malformed.TRANSPORT)
    states[broken] = ChecksumState.MALFORMED
    kept = packets.l4_offset + packets.l4_len <= packets.offset + packets.caplen
    rows = np.flatnonzero(known & (packets.l4_offset >= 0) & kept & ~packets.fragment)
    if len(rows):
        states[rows] = _verify(packets, rows)
    if packets.vouched:
        headers = packets.payload_offset == packets.offset + packets.caplen
        states[packets.is_tcp & packets.cut & headers & ~packets.fragment] = ChecksumState.GOOD
    return states


def _verify(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    proto, at = packets.proto[rows], packets.l4_offset[rows]
    length = packets.l4_len[rows].astype(np.int64)
    place = at + np.select([proto == TCP, proto == UDP], [16, 6], 2)
    field = gather.u16(packets.data, place)
    covered = _pseudo_header(packets, rows)
    # ICMP over IPv4 is the only one without a pseudo-header.
    covered[proto == ICMP] = 0
    total = (sums(packets.data, at, at + length) + covered) % _ONES
    partial = (field % _ONES == covered) & ((proto == TCP) | (proto == UDP))
    none = (proto == UDP) & (field == 0) & (packets.family[rows] == 4)
    return np.asarray(
        np.select(
            [none, total == 0, partial],
            [ChecksumState.ABSENT, ChecksumState.GOOD, ChecksumState.PARTIAL],
            ChecksumState.BAD,
        ).astype(np.uint8)
    )


def _header_sums(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of the IPv4 headers of rows, modulo 65535, up to their byte order."""
    at = packets.l3_offset[rows]
    head = gather.block(packets.data, at, 20)
    words = head.view("<u4")
    total = words[:, 0].astype(np.int64)
    for column in range(1, 5):
        total += words[:, column]
    length = (head[:, 0] & 15).astype(np.int64) * 4
    longer = np.flatnonzero(length > 20)
    total[longer] = sums(packets.data, at[longer], at[longer] + length[longer])
    return np.asarray(total % _ONES)


def _pseudo_header(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum modulo 65535 of addresses, protocol and length of each row."""
    total = packets.proto[rows].astype(np.int64) + packets.l4_len[rows]
    six = np.flatnonzero(packets.family[rows] == 6)
    for low, high in ((packets.src_lo, packets.src_hi), (packets.dst_lo, packets.dst_hi)):
        total += _half(low[rows], 0)
        # Beyond 32 bits only IPv6 has anything: the ffff of a mapped address is ours, not the packet's.
        if len(six):
            total[six] += _half(low[rows[six]], 32) + _half(high[rows[six]], 0) + _half(high[rows[six]], 32)
    return np.asarray(total % _ONES)


def _half(value: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
    return (value >> np.uint64(shift) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def sums(data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ones' complement sums, modulo 65535, of the 16-bit big-endian words of ranges [start, stop) of data.

    An odd last byte counts as the upper half of a word. Ranges lie within data; they may come in any order.
    """
    if (start[1:] < start[:-1]).any():
        order = np.argsort(start, kind="stable")
        out = np.empty(len(start), np.int64)
        out[order] = sums(data, start[order], stop[order])
        return out
    words: NDArray[np.uint32] = data[: len(data) // 4 * 4].view("<u4")
    low, high = start >> 2, (stop + 3) >> 2
    if len(high) and int(high.max()) > len(words):  # a range that ends in the file's last bytes, which are no word
        last = high > len(words)
        base = int(low[last].min()) * 4
        padded = np.concatenate([data[base:], np.zeros(-(len(data) - base) % 4, np.uint8)])
        out = np.empty(len(start), np.int64)
        out[~last] = sums(data, start[~last], stop[~last])
        out[last] = sums(padded, start[last] - base, stop[last] - base)
        return out
    total = np.zeros(len(start), np.int64)
    rows = np.flatnonzero(high > low)
    while len(rows):
        # Ranges that reach into one another are summed in different rounds; those of a capture never do.
        reach = np.maximum.accumulate(high[rows])
        apart = np.concatenate([[True], low[rows[1:]] >= reach[:-1]])
        total[rows[apart]] = _spans(words, low[rows[apart]], high[rows[apart]])
        rows = rows[~apart]
    some = np.flatnonzero(high > low)
    total[some] -= words[low[some]] & _BEFORE[start[some] & 3]
    total[some] -= words[high[some] - 1] & _BEHIND[stop[some] & 3]
    total %= _ONES
    # In little-endian words the byte at an even offset weighs 1, that at an odd one 256; big-endian ones want the
    # first byte of a row in the upper half.
    return np.where(start & 1, total, total * 256 % _ONES)


_BEFORE = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)
"""The bytes of a row's first word that are not its own, by where in the word it starts."""
_BEHIND = np.array([0, 0xFFFFFF00, 0xFFFF0000, 0xFF000000], np.uint32)
"""The same of its last word, by where it stops."""


def _spans(words: NDArray[np.uint32], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of words[low:high], the spans in order, apart from one another and not empty."""
    out = np.empty(len(low), np.uint64)
    edges = np.stack([low, high], axis=1).ravel()
    done = 0
    while done < len(low):
        base = int(low[done])
        upto = max(done + 1, int(np.searchsorted(low, base + _BLOCK)))
        part = words[base : int(high[upto - 1])].astype(np.uint64)
        # Every second sum is of what lies between two spans; the last span goes to the end.
        out[done:upto] = np.add.reduceat(part, edges[2 * done : 2 * upto - 1] - base)[::2]
        done = upto
    return out.astype(np.int64)
