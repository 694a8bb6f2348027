"""Find the records of a pcapng file (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces.

Read: section header, interface description (with if_tsresol and if_tsoffset), enhanced, simple and the obsolete packet
block. Other blocks are stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import chain, gather, records
from hopscope.wire.records import LARGEST_FRAME, SPAN, Records

MAGIC = b"\x0a\x0d\x0d\x0a"

_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_ORDER = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
_PACKET_HEAD, _SIMPLE_HEAD, _TAIL = 28, 12, 4
"""Bytes of a packet block before and behind the frame."""

_NS = 1_000_000_000


@dataclass(frozen=True)
class _Interface:
    number: int
    """Counted over the whole file, so that sections cannot be confused."""
    linktype: int
    snaplen: int
    units_per_second: int
    offset_s: int

    def nanoseconds(self, units: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Stamps of this interface as ns since the epoch; what no int64 holds (damage) is as near as one can be."""
        scale = self.units_per_second
        if scale <= 1 << 33 and abs(self.offset_s) < 1 << 33:  # then nothing below can pass 2^63
            whole, part = np.divmod(units, np.uint64(scale))
            if int(whole.max(initial=0)) + max(self.offset_s, 0) < (1 << 63) // _NS - 1:
                fraction = part * np.uint64(_NS) // np.uint64(scale)
                return np.asarray((whole.astype(np.int64) + self.offset_s) * _NS + fraction.astype(np.int64))
        exact = [(value // scale + self.offset_s) * _NS + value % scale * _NS // scale for value in units.tolist()]
        return np.array([max(-(2**63), min(value, 2**63 - 1)) for value in exact], np.int64)


def begins(data: NDArray[np.uint8]) -> bool:
    """Whether the section header at the start of a file is one."""
    return data[8:12].tobytes() in _ORDER


def spans(data: NDArray[np.uint8], span: int = SPAN) -> Iterator[Records]:
    """Records of a file that begins with a section header, some ``span`` bytes of it at a time."""
    reader = _Reader(data)
    at, damaged = 0, False
    while at < len(data) and not damaged:
        heads, at, damaged = chain.follow(reader.blocks, at, min(at + span, len(data)))
        other = _ORDER.get(data[at + 8 : at + 12].tobytes()) if data[at : at + 4].tobytes() == MAGIC else None
        if damaged and other not in (None, reader.blocks.order):
            found = reader.read(heads, truncated=False)
            reader.blocks = _Blocks(data, str(other))
            damaged = found.truncated
        else:
            found = reader.read(heads, truncated=damaged)
            damaged = found.truncated
        yield found


class _Blocks:
    """The chain of blocks of one byte order."""

    mark = (0, _ENHANCED)

    def __init__(self, data: NDArray[np.uint8], order: str) -> None:
        self.data, self.order = data, order
        self._heads = gather.everywhere(data, "V12")
        self._last = len(self._heads) - 1

    def after(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        head = self._heads[np.minimum(at, self._last)].view(self.order + "u4").reshape(-1, 3)
        kind, length, magic = head[:, 0], head[:, 1].astype(np.int64), head[:, 2]
        good = (length >= 12) & (length % 4 == 0) & (at + length <= len(self.data)) & (at <= self._last)
        good &= (kind != _SECTION) | (magic == _BYTE_ORDER_MAGIC)
        return np.where(good, at + length, -1)

    def after_one(self, at: int) -> int:
        if at + 12 > len(self.data):
            return -1
        kind, length, magic = struct.unpack_from(self.order + "III", self.data.data, at)
        good = length >= 12 and length % 4 == 0 and at + length <= len(self.data)
        return at + length if good and (kind != _SECTION or magic == _BYTE_ORDER_MAGIC) else -1

    def likely(self, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """A block that can hold a packet, of which both copies of the length agree."""
        head = self._heads[np.minimum(at, self._last)].view(self.order + "u4").reshape(-1, 3)
        length = head[:, 1].astype(np.int64)
        again = gather.field(gather.block(self.data, at + length - _TAIL, _TAIL), 0, 4, self.order)
        return np.asarray((head[:, 0] == _ENHANCED) & (length >= 32) & (length == again) & (at <= self._last))


class _Reader:
    """Blocks to records. What it has read so far (interfaces, the last stamp) holds for the blocks that follow."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        # The first section header says its order; both copies of its kind read the same.
        self.blocks = _Blocks(data, _ORDER[data[8:12].tobytes()])
        self.interfaces: list[_Interface] = []
        self.known = 0
        self.last_time = 0

    def read(self, heads: NDArray[np.int64], *, truncated: bool) -> Records:
        """Records of the blocks at these offsets, up to the first that contradicts itself."""
        lead = gather.block(self.data, heads, 8)
        kind, length = (gather.field(lead, column, 4, self.blocks.order) for column in (0, 4))
        packets = np.isin(kind, (_ENHANCED, _PACKET, _SIMPLE))
        # Between two blocks that describe something, all packet blocks are read at once.
        marks = np.flatnonzero((kind == _SECTION) | ((kind == _INTERFACE) & (length >= 20)))
        parts, at = [], 0
        for mark in [*marks.tolist(), len(heads)]:
            run = np.flatnonzero(packets[at:mark]) + at
            if len(run):
                part = self._packets(heads[run], kind[run], heads[run] + length[run] - _TAIL)
                parts.append(part)
                if part.truncated:
                    break
            if mark < len(heads):
                self._describe(int(kind[mark]), int(heads[mark]), int(length[mark]))
            at = mark + 1
        whole = records.joined(parts)
        return Records(
            whole.offset, whole.caplen, whole.wirelen, whole.time, whole.interface, whole.linktype,
            truncated=whole.truncated or truncated,
        )  # fmt: skip

    def _describe(self, kind: int, at: int, length: int) -> None:
        if kind == _SECTION:
            self.interfaces = []
            return
        view = self.data.data
        self.interfaces.append(_interface(view, at + 8, at + length - _TAIL, self.blocks.order, self.known))
        self.known += 1

    def _packets(self, head: NDArray[np.int64], kind: NDArray[np.int64], stop: NDArray[np.int64]) -> Records:
        """Packet blocks under one list of interfaces; ``stop`` is where the frame and its padding end."""
        order = self.blocks.order
        fixed = gather.block(self.data, head, _PACKET_HEAD)
        first, high, low, caplen, wirelen = (gather.field(fixed, at, 4, order) for at in (8, 12, 16, 20, 24))
        simple = kind == _SIMPLE
        start = head + np.where(simple, _SIMPLE_HEAD, _PACKET_HEAD)
        which = np.where(kind == _PACKET, gather.field(fixed, 8, 2, order), first)
        which[simple] = 0
        wirelen = np.where(simple, first, wirelen)
        caplen = np.where(simple, np.minimum(wirelen, stop - start), caplen)
        good = (start <= stop) & (which < len(self.interfaces)) & (start + caplen <= stop) & (caplen <= LARGEST_FRAME)
        count = len(good) if good.all() else int(np.argmin(good))
        start, which, caplen, wirelen = (column[:count] for column in (start, which, caplen, wirelen))
        simple = simple[:count]
        units = high[:count].astype(np.uint64) << np.uint64(32) | low[:count].astype(np.uint64)
        time, number, linktype = np.zeros(count, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int32)
        for each in np.unique(which).tolist():
            interface, mine = self.interfaces[each], which == each
            time[mine] = interface.nanoseconds(units[mine])
            number[mine], linktype[mine] = interface.number, interface.linktype
            if interface.snaplen:
                caplen[mine & simple] = np.minimum(caplen[mine & simple], interface.snaplen)
        if count:
            self._fill(time, simple)
        return Records(start, caplen, np.maximum(wirelen, caplen), time, number, linktype, truncated=count < len(good))

    def _fill(self, time: NDArray[np.int64], simple: NDArray[np.bool_]) -> None:
        """A simple packet block has no time: it is given that of the packet before it, which keeps the order."""
        if simple.any():
            told = np.maximum.accumulate(np.where(simple, -1, np.arange(len(time))))
            time[:] = np.where(told >= 0, time[told], self.last_time)
        self.last_time = int(time[-1])


def _interface(view: memoryview, body: int, stop: int, order: str, number: int) -> _Interface:
    linktype, _, snaplen = struct.unpack_from(order + "HHI", view, body)
    units, offset = 1_000_000, 0
    at = body + 8
    while at + 4 <= stop:
        code, length = struct.unpack_from(order + "HH", view, at)
        value = at + 4
        if code == 0 or value + length > stop:
            break
        if code == _IF_TSRESOL and length == 1:
            exponent = view[value] & 0x7F
            units = 2**exponent if view[value] & 0x80 else 10**exponent
        elif code == _IF_TSOFFSET and length == 8:
            (offset,) = struct.unpack_from(order + "q", view, value)
        at = value + (length + 3) // 4 * 4
    return _Interface(number, linktype, snaplen, units, offset)
