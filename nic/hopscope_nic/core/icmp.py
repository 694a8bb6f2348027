"""What a router says about a packet that does not fit: ICMP fragmentation needed (RFC 792, RFC 1191 section 4)."""

from __future__ import annotations

import struct

from hopscope_nic.core.checksum import checksum
from hopscope_nic.core.segment import DONT_FRAGMENT, HEADROOM, OWN_TTL, Packet

_ICMP = 1
_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4
_QUOTED = 8  # octets of the transport header: ports and sequence number, as the sender knows them

_IP = struct.Struct("!BBHHHBBH4s4s")
_MESSAGE = struct.Struct("!BBHHH")


def fragmentation_needed(packet: Packet, mtu: int, source: bytes) -> Packet:
    """The message to the sender of `packet`, which is quoted as it came; `source` is our address on that side."""
    buffer, head = packet.buffer, packet.head
    header = (buffer[head] & 0x0F) << 2
    quoted = bytes(buffer[head : head + header + _QUOTED])
    message = _MESSAGE.pack(_UNREACHABLE, _FRAGMENTATION_NEEDED, 0, 0, mtu) + quoted
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    destination = bytes(buffer[head + 12 : head + 16])
    total = _IP.size + len(message)
    outer = _IP.pack(0x45, 0, total, 0, DONT_FRAGMENT, OWN_TTL, _ICMP, 0, source, destination)
    outer = outer[:10] + checksum(outer).to_bytes(2, "big") + outer[12:]
    answer = Packet()
    answer.buffer = bytearray(HEADROOM) + outer + message
    answer.head = HEADROOM
    answer.end = len(answer.buffer)
    return answer
