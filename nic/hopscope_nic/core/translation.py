"""Between the numbers the client was promised and those the server really uses.

The client's peer began at V (spoofed), the server began at R. Per flow and constant, with D = V - R modulo 2^32:

    server → client   seq += D              TSval += T          window: (win << real) >> spoofed, at most 65535
    client → server   ack -= D, SACK -= D   TSecr -= T          window and options: see below

T = V - (TSval of the real SYN-ACK), because the spoofed SYN-ACK carries V as its TSval. It makes the time stamps that
the client sees begin at V and go on as the server's do, so PAWS (RFC 7323 section 5) holds on both sides.

An option that the client was promised and the server then did not agree to is kept from the server: time stamps and
SACK blocks become NOPs, and the client's window, scaled by the client, is written out in full (at most 65535).
"""

from __future__ import annotations

from typing import Optional

from hopscope_nic.core import options
from hopscope_nic.core.checksum import adjust, weight
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import ACK, SYN, U16, U32, Segment

MASK = 0xFFFFFFFF
_LINUX_TIMESTAMPS = b"\x01\x01\x08\x0a"


class Translation:
    """The constants of one flow. `to_client` and `to_server` edit a segment in place."""

    __slots__ = ("delta", "plain", "strip_sack", "strip_timestamps", "to_client_shift", "to_server_shift", "ts_delta")

    def __init__(
        self,
        delta: int,
        ts_delta: Optional[int] = None,
        to_client_shift: int = 0,
        to_server_shift: int = 0,
        strip_timestamps: bool = False,
        strip_sack: bool = False,
    ) -> None:
        """`delta` is D; `ts_delta` is T, None without time stamps; the shifts are to the left, in bits."""
        self.delta = delta
        self.ts_delta = ts_delta
        self.to_client_shift = to_client_shift
        self.to_server_shift = to_server_shift
        self.strip_timestamps = strip_timestamps
        self.strip_sack = strip_sack
        self.plain = not (delta or ts_delta or to_client_shift or to_server_shift or strip_timestamps or strip_sack)

    @classmethod
    def learn(cls, spoofed_isn: int, promised: SynOptions, real_isn: int, agreed: SynOptions) -> Translation:
        """From V and the client's SYN options (all of them were promised), R and those of the real SYN-ACK."""
        delta = (spoofed_isn - real_isn) & MASK
        ts_delta = None
        strip_timestamps = False
        if promised.tsval is not None:
            if agreed.tsval is None:
                strip_timestamps = True
            else:
                ts_delta = (spoofed_isn - agreed.tsval) & MASK
        to_client_shift = to_server_shift = 0
        if promised.window_scale is not None:
            if agreed.window_scale is None:
                to_client_shift = -promised.window_scale
                to_server_shift = promised.window_scale
            else:
                to_client_shift = agreed.window_scale - promised.window_scale
        strip_sack = promised.sack_permitted and not agreed.sack_permitted
        return cls(delta, ts_delta, to_client_shift, to_server_shift, strip_timestamps, strip_sack)

    def to_client(self, segment: Segment) -> None:
        """Server's numbers to those the client was promised."""
        if self.plain:
            return
        buffer = segment.buffer
        l4 = segment.l4
        old = segment.seq
        segment.seq = new = (old + self.delta) & MASK
        U32.pack_into(buffer, l4 + 4, new)
        difference = new - old
        if self.ts_delta and segment.header_end >= l4 + 32:
            difference += self._shift_timestamp(segment, 0, self.ts_delta)
        if self.to_client_shift:
            difference += _scale_window(segment, self.to_client_shift)
        if difference and not segment.partial:
            segment.checksum = adjust(segment.checksum, difference)
            U16.pack_into(buffer, l4 + 16, segment.checksum)

    def to_server(self, segment: Segment) -> None:
        """Client's numbers to the server's own. Without the ACK flag neither ack nor TSecr means anything."""
        if self.plain:
            return
        buffer = segment.buffer
        l4 = segment.l4
        difference = 0
        acknowledges = segment.flags & ACK
        if acknowledges:
            old = segment.ack
            segment.ack = new = (old - self.delta) & MASK
            U32.pack_into(buffer, l4 + 8, new)
            difference = new - old
        if segment.header_end > l4 + 20:
            if self.strip_timestamps or self.strip_sack:
                difference += self._strip(segment)
            if acknowledges:
                if self.ts_delta and segment.header_end >= l4 + 32:
                    difference += self._shift_timestamp(segment, 4, -self.ts_delta)
                if segment.header_end != l4 + 32 or buffer[l4 + 20 : l4 + 24] != _LINUX_TIMESTAMPS:
                    difference += self._shift_sack(segment)
        if self.to_server_shift:
            difference += _scale_window(segment, self.to_server_shift)
        if difference and not segment.partial:
            segment.checksum = adjust(segment.checksum, difference)
            U16.pack_into(buffer, l4 + 16, segment.checksum)

    def _shift_timestamp(self, segment: Segment, which: int, by: int) -> int:
        """Add `by` to TSval (`which` 0) or TSecr (4). Returns the difference for the checksum."""
        buffer = segment.buffer
        l4 = segment.l4
        if buffer[l4 + 20 : l4 + 24] == _LINUX_TIMESTAMPS:
            at = l4 + 24 + which
            old = U32.unpack_from(buffer, at)[0]
            new = (old + by) & MASK
            U32.pack_into(buffer, at, new)
            return int(new - old)
        for kind, start, length in options.walk(buffer, l4 + 20, segment.header_end):
            if kind == options.TIMESTAMPS and length == 10:
                at = start + 2 + which
                old = U32.unpack_from(buffer, at)[0]
                new = (old + by) & MASK
                U32.pack_into(buffer, at, new)
                return int(new - old) * weight(at - l4)
        return 0

    def _shift_sack(self, segment: Segment) -> int:
        """Subtract D from every SACK edge (RFC 2018 section 3); a block that is cut short is left alone."""
        buffer = segment.buffer
        l4 = segment.l4
        difference = 0
        for kind, start, length in options.walk(buffer, l4 + 20, segment.header_end):
            if kind == options.SACK and (length - 2) % 8 == 0:
                for at in range(start + 2, start + length, 4):
                    old = U32.unpack_from(buffer, at)[0]
                    new = (old - self.delta) & MASK
                    U32.pack_into(buffer, at, new)
                    difference += (new - old) * weight(at - l4)
        return difference

    def _strip(self, segment: Segment) -> int:
        """Overwrite with NOPs what the server did not agree to."""
        buffer = segment.buffer
        begin, end = segment.l4 + 20, segment.header_end
        before = int.from_bytes(buffer[begin:end], "big")
        for kind, start, length in options.walk(buffer, begin, end):
            if (kind == options.TIMESTAMPS and self.strip_timestamps) or (kind == options.SACK and self.strip_sack):
                buffer[start : start + length] = bytes((options.NOP,)) * length
        return int.from_bytes(buffer[begin:end], "big") - before


def _scale_window(segment: Segment, shift: int) -> int:
    """Shift the window field to the left by `shift` bits, at most 65535. A SYN's window is never scaled."""
    if segment.flags & SYN:
        return 0
    old = segment.window
    new = old << shift if shift > 0 else old >> -shift
    if new > 0xFFFF:
        new = 0xFFFF
    if new != old:
        segment.window = new
        U16.pack_into(segment.buffer, segment.l4 + 14, new)
    return new - old


PLAIN = Translation(0)
"""For a flow that nobody answered early: it passes as it is."""
