"""Cuts the payload out of a large capture, on the host that took it. Standard library, Python >= 3.9.

    python3 -I -S thin.py CAPTURE THIN [FLOW...]

Both are pcap files. A TCP segment that is whole and whose checksum is right (RFC 1071, RFC 9293) keeps its headers and
loses its payload; its record still tells how long it was. Every other frame is copied as it is: a segment with a wrong
or unfinished checksum, a fragment, anything that is not TCP over plain IPv4 or IPv6, and whatever is of a FLOW, such as
``10.1.0.10:40000 > 10.1.2.10:8080`` or ``[fd00:1::10]:40000 > [fd00:2::10]:8080``. Standard output: ``FRAMES CUT``, how
many there are and how many were cut. A file that ends in the middle of a record is copied up to there.
"""

from __future__ import annotations

import mmap
import re
import struct
import sys
from ipaddress import ip_address
from typing import BinaryIO

MAGICS = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
HEADER, RECORD = 24, 16
ETHERNET, TCP = 1, 6
IPV4, IPV6, VLAN = b"\x08\x00", b"\x86\xdd", b"\x81\x00"
ONES = 65535


def both_ways(flow: str) -> set[bytes]:
    """Addresses and ports of a flow as they stand in its frames, in either direction."""
    ends = re.fullmatch(r"\[?([0-9a-f:.]+?)\]?:(\d+) > \[?([0-9a-f:.]+?)\]?:(\d+)( #\d+)?", flow)
    if ends is None:
        raise SystemExit(f"no flow: {flow}")
    client, server = ip_address(ends[1]).packed, ip_address(ends[3]).packed
    here, there = int(ends[2]), int(ends[4])
    return {client + server + struct.pack("!HH", here, there), server + client + struct.pack("!HH", there, here)}


def kept(frame: bytes, spared: frozenset[bytes] = frozenset()) -> int:
    """How many bytes of an Ethernet frame stay: up to its payload, or all, as of those in ``spared``."""
    whole = len(frame)
    at = 18 if frame[12:14] == VLAN else 14
    kind = frame[at - 2 : at]
    if kind == IPV4 and whole >= at + 40:
        length = (frame[at] & 15) * 4
        total = int.from_bytes(frame[at + 2 : at + 4], "big")
        fragment = int.from_bytes(frame[at + 6 : at + 8], "big") & 0x3FFF
        if frame[at] >> 4 != 4 or frame[at + 9] != TCP or fragment:
            return whole
        addresses, start, stop = frame[at + 12 : at + 20], at + length, at + total
    elif kind == IPV6 and whole >= at + 60:
        if frame[at] >> 4 != 6 or frame[at + 6] != TCP:
            return whole
        addresses, start = frame[at + 8 : at + 40], at + 40
        stop = start + int.from_bytes(frame[at + 4 : at + 6], "big")
    else:
        return whole
    if stop > whole or start + 20 > stop:
        return whole
    head = start + (frame[start + 12] >> 4) * 4
    if not start + 20 <= head < stop or addresses + frame[start : start + 4] in spared:
        return whole
    size = stop - start
    covered = addresses + struct.pack("!HHI", 0, TCP, size) + frame[start:stop] + b"\0" * (size % 2)
    # A sum of 16-bit words in ones' complement is the number that they make, modulo 65535.
    return head if int.from_bytes(covered, "big") % ONES == 0 else whole


def thin(data: mmap.mmap, out: BinaryIO, spared: frozenset[bytes] = frozenset()) -> tuple[int, int]:
    """Frames, and how many of them were cut."""
    order = MAGICS.get(data[:4])
    if order is None:
        raise SystemExit("no pcap file")
    cuts = struct.unpack(order + "I", data[20:HEADER])[0] & 0xFFFF == ETHERNET
    out.write(data[:HEADER])
    record = struct.Struct(order + "IIII")
    at, end, frames, cut = HEADER, len(data), 0, 0
    while at + RECORD <= end:
        seconds, fraction, captured, length = record.unpack_from(data, at)
        start = at + RECORD
        if start + captured > end:
            break
        frame = data[start : start + captured]
        stays = kept(frame, spared) if cuts else captured
        out.write(record.pack(seconds, fraction, stays, length))
        out.write(frame[:stays])
        frames += 1
        cut += stays < captured
        at = start + captured
    return frames, cut


def main() -> None:
    source, target, *flows = sys.argv[1:]
    spared = frozenset().union(*map(both_ways, flows))
    with open(source, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with data, open(target, "wb", buffering=1 << 20) as out:
        print(*thin(data, out, spared))


if __name__ == "__main__":
    main()
