"""The records of a capture file, one after the other: slow, simple, and without a line of ``hopscope.wire``.

A record is (offset, caplen, wirelen, time in ns, interface, link type); with the list comes whether the file ends, or
is damaged, in the middle of one.
"""

from __future__ import annotations

import struct

Record = tuple[int, int, int, int, int, int]
LONGEST = 262144
PCAP = {b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000), b"\x4d\x3c\xb2\xa1": ("<", 1),
        b"\xa1\xb2\x3c\x4d": (">", 1)}  # fmt: skip
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}


def records(data: bytes) -> tuple[list[Record], bool]:
    return _pcap(data) if data[:4] in PCAP else _pcapng(data)


def _pcap(data: bytes) -> tuple[list[Record], bool]:
    order, unit = PCAP[data[:4]]
    linktype = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, caplen, wirelen = struct.unpack_from(order + "IIII", data, at)
        if caplen > LONGEST or at + 16 + caplen > len(data):
            break
        found.append((at + 16, caplen, max(caplen, wirelen), seconds * 10**9 + fraction * unit, 0, linktype))
        at += 16 + caplen
    return found, at != len(data)


def _pcapng(data: bytes) -> tuple[list[Record], bool]:
    found: list[Record] = []
    order, interfaces, known, last, at = "<", [], 0, 0, 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from(order + "II", data, at)
        if kind == 0x0A0D0D0A:
            if data[at + 8 : at + 12] not in ORDERS:
                return found, True
            order, interfaces = ORDERS[data[at + 8 : at + 12]], []
            (length,) = struct.unpack_from(order + "I", data, at + 4)
        if length < 12 or length % 4 or at + length > len(data):
            return found, True
        body = data[at + 8 : at + length - 4]
        if kind == 1 and len(body) >= 8:
            interfaces.append((known, *_interface(body, order)))
            known += 1
        elif kind in (2, 3, 6):
            packet = _packet(kind, body, order, interfaces, last)
            if packet is None:
                return found, True
            start, caplen, wirelen, last, interface, linktype = packet
            found.append((at + 8 + start, caplen, max(wirelen, caplen), last, interface, linktype))
        at += length
    return found, at != len(data)


def _interface(body: bytes, order: str) -> tuple[int, int, int, int]:
    """Link type, snap length, units in a second, offset in seconds."""
    linktype, _, snaplen = struct.unpack_from(order + "HHI", body)
    units, offset, at = 10**6, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == 0 or len(value) < length:
            break
        if code == 9 and length == 1:
            units = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == 14 and length == 8:
            (offset,) = struct.unpack(order + "q", value)
        at += 4 + (length + 3) // 4 * 4
    return linktype, snaplen, units, offset


def _packet(kind: int, body: bytes, order: str, interfaces: list, last: int) -> Record | None:
    start = 4 if kind == 3 else 20
    if len(body) < start:
        return None
    if kind == 3:
        which, (wirelen,) = 0, struct.unpack_from(order + "I", body)
        caplen = min(wirelen, len(body) - start)
    else:
        which, *_, high, low, caplen, wirelen = struct.unpack_from(order + ("IIIII", "HHIIII")[kind == 2], body)
    if which >= len(interfaces) or start + caplen > len(body) or caplen > LONGEST:
        return None
    number, linktype, snaplen, units, offset = interfaces[which]
    if kind == 3:
        caplen = min(caplen, snaplen) if snaplen else caplen
        return start, caplen, wirelen, last, number, linktype
    value = high << 32 | low
    time = (value // units + offset) * 10**9 + value % units * 10**9 // units
    return start, caplen, wirelen, max(-(2**63), min(time, 2**63 - 1)), number, linktype
