"""Find the records of a pcapng file (draft-ietf-opsawg-pcapng): sections of either byte order, several interfaces.

Read: section header, interface description (with if_tsresol and if_tsoffset), enhanced, simple and the obsolete packet
block. Other blocks are stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.records import LARGEST_FRAME, Records

MAGIC = b"\x0a\x0d\x0d\x0a"

_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_ORDER = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_IF_TSRESOL, _IF_TSOFFSET = 9, 14


Row = tuple[int, int, int, int, int, int]
"""Offset, caplen, wirelen, time, interface, linktype."""


@dataclass(frozen=True)
class _Interface:
    number: int
    """Counted over the whole file, so that sections cannot be confused."""
    linktype: int
    snaplen: int
    units_per_second: int
    offset_s: int

    def nanoseconds(self, units: int) -> int:
        whole, part = divmod(units, self.units_per_second)
        return (whole + self.offset_s) * 1_000_000_000 + part * 1_000_000_000 // self.units_per_second


def index(data: NDArray[np.uint8]) -> Records | None:
    """Records of a file that starts with a section header, None when that header is not one."""
    if data[8:12].tobytes() not in _ORDER:
        return None
    truncated = False

    def rows() -> Generator[Row]:
        nonlocal truncated
        truncated = yield from walk(data.data)

    table = np.array(list(rows()), np.int64).reshape(-1, 6)
    return Records(
        offset=table[:, 0],
        caplen=table[:, 1],
        wirelen=np.maximum(table[:, 2], table[:, 1]),
        time=table[:, 3],
        interface=table[:, 4].astype(np.int32),
        linktype=table[:, 5].astype(np.int32),
        truncated=truncated,
    )


def walk(view: memoryview) -> Generator[Row, None, bool]:
    """The packets, one after the other; returns True when the file is cut or damaged."""
    order, known, last_time = "<", 0, 0
    interfaces: list[_Interface] = []
    at, end = 0, len(view)
    while at + 12 <= end:
        kind, length = struct.unpack_from(order + "II", view, at)
        if kind == _SECTION:
            section = _ORDER.get(bytes(view[at + 8 : at + 12]))
            if section is None:
                return True
            order, interfaces = section, []
            (length,) = struct.unpack_from(order + "I", view, at + 4)
        if length < 12 or length % 4 or at + length > end:
            return True
        body, stop = at + 8, at + length - 4
        if kind == _INTERFACE and stop - body >= 8:
            interfaces.append(_interface(view, body, stop, order, known))
            known += 1
        elif kind in (_ENHANCED, _PACKET, _SIMPLE):
            row = _packet(view, kind, body, stop, order, interfaces, last_time)
            if row is None:
                return True
            yield row
            last_time = row[3]
        at += length
    return at != end


def _packet(
    view: memoryview, kind: int, body: int, stop: int, order: str, interfaces: list[_Interface], last_time: int
) -> Row | None:
    """One row, or None when the block contradicts itself or names an interface that was not described."""
    start = body + (4 if kind == _SIMPLE else 20)
    if start > stop:
        return None
    if kind == _SIMPLE:
        which = 0
        (wirelen,) = struct.unpack_from(order + "I", view, body)
        caplen = min(wirelen, stop - start)
        time = None
    else:
        head = order + ("IIIII" if kind == _ENHANCED else "HHIIII")
        which, *_, high, low, caplen, wirelen = struct.unpack_from(head, view, body)
        time = high << 32 | low
    if which >= len(interfaces) or start + caplen > stop or caplen > LARGEST_FRAME:
        return None
    interface = interfaces[which]
    if kind == _SIMPLE and interface.snaplen:
        caplen = min(caplen, interface.snaplen)
    # A simple packet block has no time: it is given that of the packet before it, which keeps the order.
    stamp = last_time if time is None else interface.nanoseconds(time)
    # Damage can make a stamp that no int64 holds.
    stamp = max(-(2**63), min(stamp, 2**63 - 1))
    return start, caplen, wirelen, stamp, interface.number, interface.linktype


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
