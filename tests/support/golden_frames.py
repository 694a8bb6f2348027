"""Frames of the golden captures as bytes: Ethernet, ARP, IPv4, IPv6, TCP, UDP, ICMP, and the pcap file around them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass
class Options:
    """TCP options; a negative number means *absent*. ``sack`` holds (left, right) edges."""

    mss: int = -1
    wscale: int = -1
    sack_permitted: bool = False
    tsval: int = -1
    tsecr: int = 0
    sack: list[tuple[int, int]] = field(default_factory=list)

    def encode(self) -> bytes:
        out = b""
        if self.mss >= 0:
            out += struct.pack("!BBH", 2, 4, self.mss)
        if self.sack_permitted:
            out += struct.pack("!BB", 4, 2)
        if self.tsval >= 0:
            out += struct.pack("!BBII", 8, 10, self.tsval % 2**32, self.tsecr % 2**32)
        if self.wscale >= 0:
            out += struct.pack("!BBBB", 1, 3, 3, self.wscale)
        if self.sack:
            out += struct.pack("!BBBB", 1, 1, 5, 2 + 8 * len(self.sack))
            out += b"".join(struct.pack("!II", left % 2**32, right % 2**32) for left, right in self.sack)
        return out + b"\x01" * (-len(out) % 4)


@dataclass
class Frame:
    """One frame as one tap sees it.

    ``spoil`` damages a checksum: "ip" or "l4" flips a bit of it, "partial" leaves the pudding of CHECKSUM_PARTIAL (the
    pseudo-header's sum alone). ``cut`` keeps only so many bytes in the file. ``raw`` replaces everything after MACs.
    """

    time_ns: int
    src_mac: str
    dst_mac: str
    src: str = ""
    dst: str = ""
    ttl: int = 64
    ip_id: int = 0
    proto: int = 6
    sport: int = 0
    dport: int = 0
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    options: Options = field(default_factory=Options)
    payload: bytes = b""
    label: str = ""
    flow: int | None = None
    spoil: str = ""
    cut: int | None = None
    raw: bytes | None = None

    def copied(self) -> Frame:
        """A frame that may be changed without changing this one. (dataclasses.replace takes ten times as long.)"""
        frame, options = Frame.__new__(Frame), Options.__new__(Options)
        options.__dict__.update(self.options.__dict__)
        options.sack = list(self.options.sack)
        frame.__dict__.update(self.__dict__)
        frame.options = options
        return frame


def encode(frame: Frame) -> bytes:
    """The frame on the wire, checksums right unless ``spoil`` says otherwise."""
    head = _mac(frame.dst_mac) + _mac(frame.src_mac)
    if frame.raw is not None:
        return head + frame.raw
    src, dst = _address(frame.src), _address(frame.dst)
    body, at = _transport(frame, src.version)
    pseudo = src.packed + dst.packed
    proto = 58 if frame.proto == 1 and src.version == 6 else frame.proto
    pseudo += struct.pack("!BBH", 0, proto, len(body)) if src.version == 4 else struct.pack("!IxxxB", len(body), proto)
    if frame.proto == 1 and src.version == 4:
        pseudo = b""
    value = _fold(pseudo) if frame.spoil == "partial" else _fold(pseudo + body) ^ 0xFFFF
    if frame.spoil == "l4":
        value ^= 0x0100
    if frame.proto == 17 and value == 0:
        value = 0xFFFF  # zero means "no checksum" in UDP (RFC 768)
    body = body[:at] + struct.pack("!H", value) + body[at + 2 :]
    if src.version == 6:
        head6 = struct.pack("!IHBB", 6 << 28, len(body), proto, frame.ttl) + src.packed + dst.packed
        return head + b"\x86\xdd" + head6 + body
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), frame.ip_id, 0x4000, frame.ttl, proto, 0)
    ip += src.packed + dst.packed
    check = _fold(ip) ^ 0xFFFF ^ (0x0001 if frame.spoil == "ip" else 0)
    return head + b"\x08\x00" + ip[:10] + struct.pack("!H", check) + ip[12:] + body


_address = cache(ipaddress.ip_address)
_known: dict[tuple[object, ...], bytes] = {}
_KNOWN_AT_MOST = 100_000


def _encoded(frame: Frame) -> bytes:
    """What ``encode`` gives, worked out once for equal frames: a mutation changes few of those that it writes."""
    options = frame.options
    frames, its_options = vars(frame) | {"time_ns": 0, "options": None}, vars(options) | {"sack": tuple(options.sack)}
    key = (*frames.values(), *its_options.values())
    if key not in _known:
        if len(_known) >= _KNOWN_AT_MOST:
            _known.clear()
        _known[key] = encode(frame)
    return _known[key]


def arp(sender: str, target: str, *, request: bool) -> bytes:
    """An ARP packet from its EtherType on."""
    head = struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1 if request else 2)
    return head + _mac(sender) + bytes(4) + _mac(target) + bytes(4)


def pcap(frames: Iterable[Frame]) -> bytes:
    """A pcap file with nanosecond stamps, little-endian, Ethernet."""
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    for frame in frames:
        whole = _encoded(frame)
        kept = whole if frame.cut is None else whole[: frame.cut]
        seconds, nanoseconds = divmod(frame.time_ns, 10**9)
        out.append(struct.pack("<IIII", seconds, nanoseconds, len(kept), len(whole)) + kept)
    return b"".join(out)


def _transport(frame: Frame, version: int) -> tuple[bytes, int]:
    """The transport's bytes with a zero checksum, and where the checksum goes."""
    if frame.proto == 1:
        return struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 77, 1) + frame.payload, 2
    if frame.proto == 17:
        return struct.pack("!HHHH", frame.sport, frame.dport, 8 + len(frame.payload), 0) + frame.payload, 6
    options = frame.options.encode()
    head = struct.pack(
        "!HHIIBBHHH",
        frame.sport,
        frame.dport,
        frame.seq % 2**32,
        frame.ack % 2**32,
        (5 + len(options) // 4) << 4,
        frame.flags,
        frame.window,
        0,
        0,
    )
    return head + options + frame.payload, 16


def _fold(data: bytes) -> int:
    """The Internet checksum's sum, folded to 16 bits (RFC 1071), not inverted."""
    data += b"\x00" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
