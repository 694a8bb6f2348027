"""Checksums of all rows at once: IPv4 header, TCP, UDP, ICMP and ICMPv6 (RFC 1071, RFC 8200 section 8.1).

The ones' complement sum of 16-bit words is the plain sum modulo 65535, whatever the width of the words that are
added. So a block of the file is summed as 32-bit words, once for all rows in it, and the odd bytes at both ends of a
row are added on their own. A row that starts at an odd offset has its bytes in the other half of the words: its sum
is turned by one byte at the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather
from hopscope.wire.packets import ICMP, ICMPV6, TCP, UDP, ChecksumState, Malformed, Packets

_BLOCK = 8 << 20
"""Bytes of the file summed at a time: bounds the memory, large enough that the work is in NumPy."""

_ONES = 65535


def ip_states(packets: Packets) -> NDArray[np.uint8]:
    """ChecksumState of each IPv4 header; ABSENT for anything else."""
    states = np.full(len(packets), ChecksumState.ABSENT, np.uint8)
    rows = np.flatnonzero(packets.family == 4)
    at = packets.l3_offset[rows]
    length = (gather.u8(packets.data, at) & 15) * 4
    total = sums(packets.data, at, at + length)
    # A header of zeros sums to 0 as well, but a header starts with 0x45.
    states[rows] = np.where(total == 0, ChecksumState.GOOD, ChecksumState.BAD)
    states[packets.malformed == Malformed.NETWORK] = ChecksumState.MALFORMED
    return states


def l4_states(packets: Packets) -> NDArray[np.uint8]:
    """ChecksumState of the TCP, UDP or ICMP checksum of each row."""
    states = np.full(len(packets), ChecksumState.ABSENT, np.uint8)
    known = np.isin(packets.proto, (TCP, UDP, ICMP, ICMPV6)) & (packets.family > 0)
    states[known] = ChecksumState.UNVERIFIABLE
    states[np.isin(packets.malformed, (Malformed.NETWORK, Malformed.TRANSPORT))] = ChecksumState.MALFORMED
    kept = packets.l4_offset + packets.l4_len <= packets.offset + packets.caplen
    rows = np.flatnonzero(known & (packets.l4_offset >= 0) & kept & ~packets.fragment)
    if len(rows):
        states[rows] = _verify(packets, rows)
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
    partial = (field % _ONES == covered) & np.isin(proto, (TCP, UDP))
    none = (proto == UDP) & (field == 0) & (packets.family[rows] == 4)
    return np.asarray(
        np.select(
            [none, total == 0, partial],
            [ChecksumState.ABSENT, ChecksumState.GOOD, ChecksumState.PARTIAL],
            ChecksumState.BAD,
        ).astype(np.uint8)
    )


def _pseudo_header(packets: Packets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum modulo 65535 of addresses, protocol and length of each row."""
    total = packets.proto[rows].astype(np.int64) + packets.l4_len[rows]
    four = packets.family[rows] == 4
    mask = np.uint64(0xFFFFFFFF)
    for column in (packets.src_hi, packets.src_lo, packets.dst_hi, packets.dst_lo):
        value = column[rows]
        low = (value & mask).astype(np.int64)
        # The ffff of a mapped address is ours, not the packet's.
        high = np.where(four, 0, (value >> np.uint64(32)).astype(np.int64))
        total += low % _ONES + high % _ONES
    return np.asarray(total % _ONES)


def sums(data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ones' complement sums, modulo 65535, of the 16-bit big-endian words of ranges [start, stop) of data.

    An odd last byte counts as the upper half of a word. Ranges lie within data; they may come in any order.
    """
    out = np.zeros(len(start), np.int64)
    order = np.argsort(start, kind="stable")
    first, last = start[order], stop[order]
    done = 0
    while done < len(order):
        base = int(first[done])
        upto = max(done + 1, int(np.searchsorted(first, base + _BLOCK)))
        top = int(last[done:upto].max())
        out[order[done:upto]] = _block(data[base:top], first[done:upto] - base, last[done:upto] - base)
        done = upto
    return out


def _block(data: NDArray[np.uint8], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of ranges of one block, ranges sorted by start."""
    padded = np.zeros(len(data) // 4 * 4 + 8, np.uint8)
    padded[: len(data)] = data
    words = padded.view("<u4")
    low, high = (start + 3) // 4, stop // 4
    spans = high > low
    total = np.zeros(len(start), np.int64)
    total[spans] = _span_sums(words, low[spans], high[spans])
    # In little-endian words the byte at an even offset weighs 1 and that at an odd one 256.
    for edge_start, edge_stop in ((start, np.minimum(low * 4, stop)), (np.maximum(high * 4, low * 4), stop)):
        for step in range(3):
            at = edge_start + step
            inside = at < edge_stop
            total += np.where(inside, padded[np.where(inside, at, 0)].astype(np.int64) << 8 * (at & 1), 0)
    total %= _ONES
    # Big-endian words want the first byte in the upper half: turn the sums of rows that start at an even offset.
    return np.asarray(np.where(start & 1, total, total * 256 % _ONES))


def _span_sums(words: NDArray[np.uint32], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums modulo 65535 of words[low:high], all spans within words and not empty."""
    if not len(low):
        return np.zeros(0, np.int64)
    if (low[1:] >= high[:-1]).all():
        edges = np.empty(2 * len(low), np.int64)
        edges[0::2], edges[1::2] = low, high
        # words has a spare one at its end, so that the last edge is a valid index.
        return np.asarray((np.add.reduceat(words, edges, dtype=np.uint64)[::2] % _ONES).astype(np.int64))
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(((running[high] - running[low]) % _ONES).astype(np.int64))
