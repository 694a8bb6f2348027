"""One IPv4 TCP packet in a buffer: validated once, then edited in place with incremental checksums.

A buffer begins with room for the headers of the datapath (`HEADROOM`); `head` is where the IPv4 header begins and `end`
where it ends by its own total length. With offloads a buffer may be a superframe of up to 64 KiB; its TCP checksum is
then `partial`: the field holds the sum of the pseudo header alone and the sender of the frame finishes it. No edit made
here changes the pseudo header (addresses, protocol, length), so a partial checksum is left alone.
"""

from __future__ import annotations

import struct
from typing import Optional

from hopscope_nic.core.checksum import adjust, is_valid, pseudo_header

HEADROOM = 24  # struct virtio_net_hdr (10) and an Ethernet header (14)

FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
ECE = 0x40
CWR = 0x80
ENDS = FIN | RST
_CHECKED = SYN | FIN | RST  # segments that change a flow's state are believed only with a good checksum

TCP = 6
_FRAGMENT = 0x3FFF  # more-fragments flag and offset

# Why a packet is not a segment. The first two are the kernel's business, the others are damage.
NOT_IPV4 = "not_ipv4"
NOT_TCP = "not_tcp"
PASSED = frozenset((NOT_IPV4, NOT_TCP))
TRUNCATED = "truncated"
MALFORMED = "malformed"
FRAGMENT = "fragment"
BAD_IP_CHECKSUM = "bad_ip_checksum"
BAD_TCP_CHECKSUM = "bad_tcp_checksum"
BAD_FLAGS = "bad_flags"

_PLAIN = struct.Struct("!BxHxxHBBH8xHHIIBBHH")
_IP = struct.Struct("!BxHxxHBBH")
_TCP = struct.Struct("!HHIIBBHH")
_BUILD = struct.Struct(f"!{HEADROOM}xBxHxxHBBH12sIIBBHHxx")
_PORTS = struct.Struct("!HH")
U16 = struct.Struct("!H")
U32 = struct.Struct("!I")
DONT_FRAGMENT = 0x4000
OWN_TTL = 64
_IP_CONSTANT = 0x4500 + DONT_FRAGMENT + (OWN_TTL << 8 | TCP)  # sum of what never changes in a header that we build


class Packet:
    """Octets of an IPv4 packet: buffer[head:end], behind the headroom."""

    __slots__ = ("buffer", "end", "head")

    buffer: bytearray
    head: int
    end: int


class Segment(Packet):
    """Fields of the packet in `buffer`, kept in step with it by the editing methods.

    One instance may be loaded again for every packet; `copy` makes one that lasts.
    """

    __slots__ = (
        "ack",
        "checksum",
        "destination_port",
        "flags",
        "header_end",
        "ip_checksum",
        "l4",
        "partial",
        "payload_length",
        "seq",
        "source_port",
        "superframe",
        "ttl",
        "window",
    )

    l4: int
    header_end: int
    payload_length: int
    source_port: int
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int
    checksum: int
    ip_checksum: int
    ttl: int
    partial: bool
    superframe: bool

    def load(
        self,
        buffer: bytearray,
        head: int,
        end: int,
        partial: bool = False,
        verified: bool = False,
        superframe: bool = False,
    ) -> Optional[str]:
        """Read buffer[head:end]. None when it is a sound TCP segment, otherwise the reason why it is not.

        `partial`: the TCP checksum is unfinished; `verified`: somebody has already found it good; `superframe`: it
        will be cut up on its way out, so that its length says nothing about the link.
        """
        length = end - head
        if length < 20:
            return TRUNCATED
        if length >= 40:
            (
                first,
                total,
                fragment,
                self.ttl,
                protocol,
                self.ip_checksum,
                self.source_port,
                self.destination_port,
                self.seq,
                self.ack,
                offset,
                flags,
                self.window,
                self.checksum,
            ) = _PLAIN.unpack_from(buffer, head)
        else:
            first, total, fragment, self.ttl, protocol, self.ip_checksum = _IP.unpack_from(buffer, head)
            offset = flags = 0
        header = (first & 0x0F) << 2
        if first >> 4 != 4:
            return NOT_IPV4
        if header < 20:
            return MALFORMED
        if total < header:
            return MALFORMED
        if total > length:
            return TRUNCATED
        l4 = head + header
        if not is_valid(buffer[head:l4]):
            return BAD_IP_CHECKSUM
        if protocol != TCP:
            return NOT_TCP
        if fragment & _FRAGMENT:
            return FRAGMENT
        if total < header + 20:
            return MALFORMED
        if header != 20:
            (
                self.source_port,
                self.destination_port,
                self.seq,
                self.ack,
                offset,
                flags,
                self.window,
                self.checksum,
            ) = _TCP.unpack_from(buffer, l4)
        end = head + total
        header_end = l4 + (offset >> 4 << 2)
        if offset < 0x50 or header_end > end:
            return MALFORMED
        self.buffer = buffer
        self.head = head
        self.end = end
        self.l4 = l4
        self.header_end = header_end
        self.payload_length = end - header_end
        self.flags = flags
        self.partial = partial
        self.superframe = superframe
        if flags & _CHECKED:
            if flags & SYN and flags & ENDS:
                return BAD_FLAGS
            if not partial and not verified and not self.checksum_is_valid():
                return BAD_TCP_CHECKSUM
        elif not flags & ACK:
            return BAD_FLAGS
        return None

    def checksum_is_valid(self) -> bool:
        """Verify the whole TCP checksum (meaningless when it is partial)."""
        head, l4, end = self.head, self.l4, self.end
        buffer = self.buffer
        pseudo = pseudo_header(buffer[head + 12 : head + 16], buffer[head + 16 : head + 20], TCP, end - l4)
        return is_valid(buffer[l4:end], pseudo)

    @property
    def key(self) -> bytes:
        """Source, destination, source port, destination port: the 12 octets as they stand in the packet."""
        head = self.head
        if self.l4 == head + 20:
            return bytes(self.buffer[head + 12 : head + 24])
        return bytes(self.buffer[head + 12 : head + 20] + self.buffer[self.l4 : self.l4 + 4])

    @property
    def next_seq(self) -> int:
        """Sequence number after this segment, SYN and FIN counted."""
        flags = self.flags
        return (self.seq + self.payload_length + (flags & FIN) + (flags >> 1 & 1)) & 0xFFFFFFFF

    def copy(self) -> Segment:
        """The same packet in a buffer of its own, headroom included."""
        twin = Segment()
        twin.buffer = self.buffer[: self.end]
        twin.head, twin.end, twin.l4 = self.head, self.end, self.l4
        twin.header_end, twin.payload_length = self.header_end, self.payload_length
        twin.source_port, twin.destination_port = self.source_port, self.destination_port
        twin.seq, twin.ack, twin.flags, twin.window = self.seq, self.ack, self.flags, self.window
        twin.superframe = self.superframe
        twin.checksum, twin.ip_checksum, twin.ttl, twin.partial = (
            self.checksum,
            self.ip_checksum,
            self.ttl,
            self.partial,
        )
        return twin

    def route(self) -> bool:
        """Decrement the TTL as a router does (RFC 1812 section 5.3.1). False, unchanged, when it would reach 0."""
        ttl = self.ttl
        if ttl <= 1:
            return False
        at = self.head + 8
        self.ttl = ttl - 1
        self.buffer[at] = ttl - 1
        self.ip_checksum = adjust(self.ip_checksum, -0x100)
        U16.pack_into(self.buffer, at + 2, self.ip_checksum)
        return True

    def set_seq(self, value: int) -> None:
        """Sequence number."""
        U32.pack_into(self.buffer, self.l4 + 4, value)
        self.add_to_checksum(value - self.seq)
        self.seq = value

    def set_ack(self, value: int) -> None:
        """Acknowledgement field, whether or not the ACK flag gives it a meaning."""
        U32.pack_into(self.buffer, self.l4 + 8, value)
        self.add_to_checksum(value - self.ack)
        self.ack = value

    def set_window(self, value: int) -> None:
        """Window field, as it stands in the header (unscaled)."""
        U16.pack_into(self.buffer, self.l4 + 14, value)
        self.add_to_checksum(value - self.window)
        self.window = value

    def set_flags(self, value: int) -> None:
        """The eight flags."""
        self.buffer[self.l4 + 13] = value
        self.add_to_checksum(value - self.flags)
        self.flags = value

    def add_to_checksum(self, difference: int) -> None:
        """Make up for covered data that grew by `difference` (see `checksum.adjust`)."""
        if difference and not self.partial:
            self.checksum = adjust(self.checksum, difference)
            U16.pack_into(self.buffer, self.l4 + 16, self.checksum)


def build(four_tuple: bytes, seq: int, ack: int, flags: int, window: int, options: bytes = b"") -> Segment:
    """A segment without payload, checksums complete. `four_tuple` as `Segment.key` has it; options padded to 4."""
    length = 20 + len(options)
    # The pseudo header (RFC 9293 section 3.1), and the 4-tuple that stands in both headers.
    tcp_sum = int.from_bytes(four_tuple, "big") + TCP + length
    ip_sum = _IP_CONSTANT + 20 + length + int.from_bytes(four_tuple[:8], "big")
    offset = length << 2
    tcp_sum += seq + ack + (offset << 8 | flags) + window + int.from_bytes(options, "big")
    segment = Segment()
    segment.ip_checksum = 0xFFFF - (ip_sum % 0xFFFF or 0xFFFF)
    segment.checksum = 0xFFFF - (tcp_sum % 0xFFFF or 0xFFFF)
    segment.buffer = bytearray(
        _BUILD.pack(
            0x45,
            20 + length,
            DONT_FRAGMENT,
            OWN_TTL,
            TCP,
            segment.ip_checksum,
            four_tuple,
            seq,
            ack,
            offset,
            flags,
            window,
            segment.checksum,
        )
        + options
    )
    segment.head = HEADROOM
    segment.l4 = HEADROOM + 20
    segment.end = segment.header_end = len(segment.buffer)
    segment.payload_length = 0
    segment.source_port, segment.destination_port = _PORTS.unpack_from(four_tuple, 8)
    segment.seq, segment.ack, segment.flags, segment.window = seq, ack, flags, window
    segment.ttl = OWN_TTL
    segment.partial = segment.superframe = False
    return segment


def reverse(key: bytes) -> bytes:
    """The 4-tuple of the other direction."""
    return key[4:8] + key[:4] + key[10:12] + key[8:10]
