"""Packets for the rewriters' tests, made and read without the rewriters' own arithmetic."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hopscope_nic.core.actions import Send
from hopscope_nic.core.segment import HEADROOM, Packet, Segment

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
CLIENT_ADDRESS, SERVER_ADDRESS = bytes((10, 1, 0, 10)), bytes((10, 1, 2, 10))
SECRET = bytes(range(32))
MASK = 0xFFFFFFFF


def word_sum(data: bytes) -> int:
    """Ones' complement sum, word by word (RFC 1071 section 1)."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total


def packet(
    source: bytes,
    destination: bytes,
    source_port: int,
    destination_port: int,
    seq: int,
    ack: int,
    flags: int,
    window: int = 500,
    options: bytes = b"",
    payload: bytes = b"",
    ttl: int = 64,
    ip_options: bytes = b"",
    fragment: int = 0x4000,
    protocol: int = 6,
) -> bytes:
    """An IPv4 TCP packet with right checksums; options are padded with NOPs."""
    options += b"\x01" * (-len(options) % 4)
    ip_options += b"\x01" * (-len(ip_options) % 4)
    offset = (20 + len(options)) << 2
    tcp = struct.pack("!HHIIBBHHH", source_port, destination_port, seq & MASK, ack & MASK, offset, flags, window, 0, 0)
    tcp += options + payload
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", 0xFFFF - word_sum(pseudo + tcp)) + tcp[18:]
    first = 0x40 | (20 + len(ip_options)) >> 2
    total = 20 + len(ip_options) + len(tcp)
    ip = struct.pack("!BBHHHBBH4s4s", first, 0, total, 7, fragment, ttl, protocol, 0, source, destination) + ip_options
    return ip[:10] + struct.pack("!H", 0xFFFF - word_sum(ip)) + ip[12:] + tcp


def load(data: bytes, partial: bool = False) -> Segment:
    """The packet as a datapath hands it over. AssertionError when it is no segment."""
    segment = Segment()
    buffer = bytearray(HEADROOM) + data
    reason = segment.load(buffer, HEADROOM, len(buffer), partial)
    assert reason is None, reason
    return segment


@dataclass(frozen=True)
class Side:
    """One end of a connection, as a source of segments."""

    address: bytes
    port: int
    peer: bytes
    peer_port: int

    def segment(self, seq: int, ack: int, flags: int, **fields: object) -> Segment:
        return load(self.packet(seq, ack, flags, **fields))

    def packet(self, seq: int, ack: int, flags: int, **fields: object) -> bytes:
        return packet(self.address, self.peer, self.port, self.peer_port, seq, ack, flags, **fields)  # type: ignore[arg-type]


def ends(port: int = 40000, server_port: int = 8080) -> tuple[Side, Side]:
    """(client, server) of one flow."""
    return (
        Side(CLIENT_ADDRESS, port, SERVER_ADDRESS, server_port),
        Side(SERVER_ADDRESS, server_port, CLIENT_ADDRESS, port),
    )


def raw(segment: Packet) -> bytes:
    """The packet's octets."""
    return bytes(segment.buffer[segment.head : segment.end])


def assert_sound(segment: Segment) -> None:
    """Both checksums hold, by our own sum, and the fields are those of the octets."""
    data = raw(segment)
    header = (data[0] & 15) * 4
    assert word_sum(data[:header]) == 0xFFFF, "IPv4 checksum"
    if not segment.partial:
        pseudo = data[12:20] + struct.pack("!BBH", 0, 6, len(data) - header)
        assert word_sum(pseudo + data[header:]) == 0xFFFF, "TCP checksum"
    again = load(data, segment.partial)
    for name in ("seq", "ack", "flags", "window", "ttl", "checksum", "ip_checksum", "payload_length"):
        assert getattr(segment, name) == getattr(again, name), name


def sent(actions: list[object], side: int | None = None) -> list[Segment]:
    """The segments sent (on one side), each of them sound."""
    packets = [action.packet for action in actions if isinstance(action, Send) and side in (None, action.side)]
    segments = [packet if isinstance(packet, Segment) else load(raw(packet)) for packet in packets]
    for segment in segments:
        assert_sound(segment)
    return segments


def reasons(actions: list[object]) -> list[str]:
    """Why segments were dropped."""
    return [action.reason for action in actions if hasattr(action, "reason")]


def linux_syn_options(mss: int = 1460, tsval: int = 1000, scale: int = 7) -> bytes:
    """What Linux offers: MSS, SACK, time stamps, window scale."""
    return struct.pack("!BBHBBBBIIBBBB", 2, 4, mss, 4, 2, 8, 10, tsval, 0, 1, 3, 3, scale)


def linux_synack_options(mss: int = 1460, tsval: int = 5000, tsecr: int = 1000, scale: int = 10) -> bytes:
    """What Linux agrees to."""
    return struct.pack("!BBHBBBBIIBBBB", 2, 4, mss, 4, 2, 8, 10, tsval, tsecr, 1, 3, 3, scale)


def stamps(tsval: int, tsecr: int) -> bytes:
    """Time stamps of a segment that is no SYN."""
    return struct.pack("!BBBBII", 1, 1, 8, 10, tsval & MASK, tsecr & MASK)


def sack(*edges: int) -> bytes:
    """A SACK option behind two NOPs."""
    return bytes((1, 1, 5, 2 + 4 * len(edges))) + struct.pack(f"!{len(edges)}I", *(edge & MASK for edge in edges))
