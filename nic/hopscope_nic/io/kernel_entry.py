"""struct flow of `bpf/flows.h`: what the kernel knows of a flow, and the flow that a machine makes of it."""

from __future__ import annotations

import struct
from typing import NamedTuple, Sequence

from hopscope_nic.core import options
from hopscope_nic.core.checksum import adjust
from hopscope_nic.core.flow import ALL_ACKED, Flow
from hopscope_nic.core.offload import Adopted
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import ACK, HEADROOM, OWN_TTL, SYN, U16, Segment, build
from hopscope_nic.core.translation import Translation

OPEN, BEGUN, LEFT, HURRIED, GREETED, AWAITED, OWN = range(7)
OVER = 16
NOTHING = bytes(12)
_VALUE = struct.Struct("=IIIiiI8sQQQIIHBB16s16s12s12s4x")
_FIN_ENDS = struct.Struct("=II")
_REMEMBERED = struct.Struct("!IIHHHBB")
SIZE = _VALUE.size
_MASK = 0xFFFFFFFF


class Entry(NamedTuple):
    """The fields in their order; numbers of segments are in host byte order, times in ns."""

    state: int
    delta: int = 0
    ts_delta: int = 0
    to_client_shift: int = 0
    to_server_shift: int = 0
    ends: int = 0
    fin_ends: bytes = bytes(8)
    from_client: int = 0
    from_server: int = 0
    begun: int = 0
    isn: int = 0
    client_isn: int = 0
    scale: int = 0
    kept: int = 0
    told: int = 0
    syn: bytes = bytes(16)
    ack: bytes = bytes(16)
    dealt_client: bytes = NOTHING
    dealt_server: bytes = NOTHING

    @classmethod
    def read(cls, value: bytes) -> Entry:
        return cls(*_VALUE.unpack(value))

    def pack(self) -> bytes:
        return _VALUE.pack(*self)

    def adopted(self, key: bytes, now: float) -> Adopted:
        """As the machine goes on with it."""
        tsval, _, mss, window, *fields = _REMEMBERED.unpack(self.syn)
        offered = SynOptions(mss, self.scale, True, tsval, False)
        flow = Flow(key, self.client_isn, self.isn, offered, now)
        flow.client_heard, flow.server_heard = bool(self.from_client), bool(self.from_server)
        flow.ends = self.ends & ALL_ACKED
        flow.client_fin_end, flow.server_fin_end = _FIN_ENDS.unpack(self.fin_ends)
        if self.state == OPEN:
            flow.translation = Translation(self.delta, self.ts_delta, self.to_client_shift, self.to_server_shift)
        offer = options.build_syn(mss, self.scale, True, (tsval, 0))
        syn = _as_it_came(build(key, self.client_isn, 0, SYN, window, offer), fields)
        ack = None
        if self.kept:
            tsval, tsecr, _, window, *fields = _REMEMBERED.unpack(self.ack)
            stamps = options.build_timestamps(tsval, tsecr)
            numbers = (self.client_isn + 1) & _MASK, (self.isn + 1) & _MASK
            ack = _as_it_came(build(key, *numbers, ACK, window, stamps), fields)
        return Adopted(flow, syn, ack, bool(self.ends & OVER), self.begun / 1e9)


def _as_it_came(segment: Segment, fields: Sequence[int]) -> Segment:
    """With `fields`, of the IPv4 header: identification, TTL, type of service."""
    identification, ttl, tos = fields
    buffer = segment.buffer
    buffer[HEADROOM + 1], buffer[HEADROOM + 8] = tos, ttl
    U16.pack_into(buffer, HEADROOM + 4, identification)
    segment.ttl = ttl
    segment.ip_checksum = adjust(segment.ip_checksum, identification + tos + ((ttl - OWN_TTL) << 8))
    U16.pack_into(buffer, HEADROOM + 10, segment.ip_checksum)
    return segment
