"""Frames from nothing but struct, with right checksums: what tests of the wire and of the checks are written with.

Deliberately slow and simple, and shares no code with ``hopscope.wire``: tests use it as the second opinion.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG, "E": ECE, "C": CWR}

CLIENT, SERVER = "10.1.0.10", "10.1.2.10"
MAC = {name: f"02:00:00:00:00:{n:02x}" for n, name in enumerate(
    ("client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0"), start=1
)}  # fmt: skip


def checksum(data: bytes) -> int:
    """RFC 1071: complement of the ones' complement sum of 16-bit words."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def pseudo(src: str, dst: str, proto: int, length: int) -> bytes:
    """Pseudo-header of IPv4 (RFC 9293, 3.1) or IPv6 (RFC 8200, 8.1)."""
    a, b = ip_address(src), ip_address(dst)
    if a.version == 4:
        return a.packed + b.packed + struct.pack("!BBH", 0, proto, length)
    return a.packed + b.packed + struct.pack("!IHBB", length, 0, 0, proto)


def option_mss(value: int) -> bytes:
    return struct.pack("!BBH", 2, 4, value)


def option_wscale(shift: int) -> bytes:
    return struct.pack("!BBB", 3, 3, shift)


def option_sack_permitted() -> bytes:
    return b"\x04\x02"


def option_sack(*edges: int) -> bytes:
    """Blocks as left, right, left, right …"""
    return struct.pack(f"!BB{len(edges)}I", 5, 2 + 4 * len(edges), *(edge % 2**32 for edge in edges))


def option_timestamps(value: int, echo: int) -> bytes:
    return struct.pack("!BBII", 8, 10, value % 2**32, echo % 2**32)


def tcp(
    sport: int,
    dport: int,
    flags: str | int,
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    *,
    src: str = CLIENT,
    dst: str = SERVER,
    window: int = 64240,
    options: bytes = b"",
    partial: bool = False,
) -> bytes:
    """A TCP segment; flags as "SA" or a number; options padded with NOP. ``partial``: CHECKSUM_PARTIAL in the field."""
    bits = flags if isinstance(flags, int) else sum(FLAGS[letter] for letter in flags)
    options = b"\x01" * (-len(options) % 4) + options
    words = 5 + len(options) // 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, words << 4, bits, window, 0, 0)
    segment = head + options + payload
    cover = pseudo(src, dst, 6, len(segment))
    value = ~checksum(cover) & 0xFFFF if partial else checksum(cover + segment)
    return segment[:16] + struct.pack("!H", value) + segment[18:]


def udp(
    sport: int, dport: int, payload: bytes = b"", *, src: str = CLIENT, dst: str = SERVER, zero: bool = False
) -> bytes:
    """A UDP datagram; ``zero`` leaves the checksum out."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    value = 0 if zero else checksum(pseudo(src, dst, 17, len(datagram)) + datagram) or 0xFFFF
    return datagram[:6] + struct.pack("!H", value) + datagram[8:]


def icmp(kind: int = 8, code: int = 0, rest: bytes = b"\0\1\0\1", payload: bytes = b"") -> bytes:
    """An ICMP message (echo request unless told)."""
    message = struct.pack("!BBH", kind, code, 0) + rest + payload
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def ipv4(
    payload: bytes,
    *,
    proto: int = 6,
    src: str = CLIENT,
    dst: str = SERVER,
    ttl: int = 64,
    ident: int = 0,
    fragment: int = 0x4000,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet; ``fragment`` is the field with its flags (0x4000 = do not fragment)."""
    words = 5 + len(options) // 4
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), ident, fragment, ttl, proto, 0,
        ip_address(src).packed, ip_address(dst).packed,
    )  # fmt: skip
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(payload: bytes, *, proto: int = 6, src: str = "fd00::1", dst: str = "fd00::2", hops: int = 64) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), proto, hops)
        + ip_address(src).packed
        + ip_address(dst).packed
        + payload
    )


def ethernet(
    packet: bytes,
    *,
    src: str = MAC["client-eth0"],
    dst: str = MAC["clientnic-eth0"],
    kind: int | None = None,
    vlan: int | None = None,
) -> bytes:
    """An Ethernet frame, padded to 60 bytes as a NIC does; the type follows the IP version unless told."""
    if kind is None:
        kind = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
    tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
    return (mac(dst) + mac(src) + tag + struct.pack("!H", kind) + packet).ljust(60, b"\0")


def arp(*, src: str = MAC["client-eth0"], sender: str = CLIENT, target: str = "10.1.0.1") -> bytes:
    """A who-has."""
    body = (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        + mac(src)
        + ip_address(sender).packed
        + bytes(6)
        + ip_address(target).packed
    )
    return ethernet(body, src=src, dst="ff:ff:ff:ff:ff:ff", kind=0x0806)


def segment(
    sport: int,
    dport: int,
    flags: str | int,
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    *,
    src: str = CLIENT,
    dst: str = SERVER,
    window: int = 64240,
    options: bytes = b"",
    partial: bool = False,
    ttl: int = 64,
    src_mac: str = MAC["client-eth0"],
    dst_mac: str = MAC["clientnic-eth0"],
) -> bytes:
    """TCP in IPv4 (or IPv6, by the addresses) in Ethernet, ready for write_pcap."""
    inner = tcp(
        sport, dport, flags, seq, ack, payload, src=src, dst=dst, window=window, options=options, partial=partial
    )
    if ip_address(src).version == 6:
        return ethernet(ipv6(inner, src=src, dst=dst, hops=ttl), src=src_mac, dst=dst_mac)
    return ethernet(ipv4(inner, src=src, dst=dst, ttl=ttl), src=src_mac, dst=dst_mac)
