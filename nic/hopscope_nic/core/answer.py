"""The SYN-ACK that answers a SYN with all of Linux's options, in one step.

It is the packet that a client waits for, so it is packed at once from its numbers. `segment.build` with
`options.build_syn` makes the same octets, as the tests prove, and does it for every other SYN.
"""

from __future__ import annotations

import struct

from hopscope_nic.core.limits import SPOOFED_WINDOW
from hopscope_nic.core.segment import ACK, DONT_FRAGMENT, HEADROOM, OWN_TTL, SYN, TCP, Packet

_PACKET = struct.Struct(f"!{HEADROOM}xBxHxxHBBH12sIIBBHHxxHHIIII")
_IP_OCTETS, _TCP_OCTETS = 60, 40
_MSS = 0x0204
_SACK_AND_TIMESTAMPS = 0x0402080A
_SCALE = 0x01030300
_OFFSET, _FLAGS = _TCP_OCTETS << 2, SYN | ACK

# Sums of all that is the same in every such packet (see `checksum`).
_IP_CONSTANT = 0x4500 + _IP_OCTETS + DONT_FRAGMENT + (OWN_TTL << 8 | TCP)
_TCP_CONSTANT = TCP + _TCP_OCTETS + (_OFFSET << 8 | _FLAGS) + SPOOFED_WINDOW + (_MSS + _SACK_AND_TIMESTAMPS + _SCALE)


def synack(key: bytes, isn: int, ack: int, mss: int, tsecr: int, scale: int) -> Packet:
    """`key` is the 4-tuple of the answer, server first; its TSval is `isn`."""
    ip_sum = _IP_CONSTANT + int.from_bytes(key[:8], "big")
    tcp_sum = _TCP_CONSTANT + int.from_bytes(key, "big") + isn + ack + mss + isn + tsecr + scale
    packet = Packet()
    packet.buffer = bytearray(
        _PACKET.pack(
            0x45,
            _IP_OCTETS,
            DONT_FRAGMENT,
            OWN_TTL,
            TCP,
            0xFFFF - (ip_sum % 0xFFFF or 0xFFFF),
            key,
            isn,
            ack,
            _OFFSET,
            _FLAGS,
            SPOOFED_WINDOW,
            0xFFFF - (tcp_sum % 0xFFFF or 0xFFFF),
            _MSS,
            mss,
            _SACK_AND_TIMESTAMPS,
            isn,
            tsecr,
            _SCALE | scale,
        )
    )
    packet.head = HEADROOM
    packet.end = HEADROOM + _IP_OCTETS
    return packet
