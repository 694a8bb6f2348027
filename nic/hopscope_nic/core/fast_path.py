"""The middle of a flow, in one step: what `receive` would do to an ordinary segment of an open flow, at half the cost.

Ordinary is: IPv4 without options and without padding behind it, ACK without SYN, FIN or RST, no TCP options or time
stamps as Linux lays them out, a flow that is `steady`. For anything else `cross` answers False and has touched nothing;
`Segment.load` and `receive` then do it the long way. That both ways give the same octets is a property that the tests
hold them to.
"""

from __future__ import annotations

import struct
from typing import Dict

from hopscope_nic.core.actions import CLIENT
from hopscope_nic.core.counters import Counters
from hopscope_nic.core.flow import WAITING, Flow
from hopscope_nic.core.flow_table import FlowTable
from hopscope_nic.core.segment import HEADROOM

_READ = struct.Struct("!BxHxxHBBH12sIIBBHHxxIII")
_IP = struct.Struct("!BBH")
_TCP = struct.Struct("!IIBBHH")
_TIMESTAMPS = struct.Struct("!II")
_IP_AT = HEADROOM + 8
_IP_END = HEADROOM + 20
_TCP_AT = HEADROOM + 24
_TIMESTAMPS_AT = HEADROOM + 44
MINIMUM = HEADROOM + _READ.size
"""A buffer must be this long, even for a shorter frame."""

_LINUX_TIMESTAMPS = 0x0101080A
_TCP_NUMBER = 6
_FRAGMENT = 0x3FFF
_FLAGS, _ACK = 0x17, 0x10
_MASK = 0xFFFFFFFF


def cross(
    table: FlowTable, counters: Counters, side: int, buffer: bytearray, size: int, partial: bool, now: float
) -> bool:
    """Translate in place the frame buffer[:size] that came in on `side`; True: send it out of the other one."""
    (
        first,
        total,
        fragment,
        ttl,
        protocol,
        ip_sum,
        key,
        seq,
        ack,
        offset,
        flags,
        window,
        checksum,
        lead,
        tsval,
        tsecr,
    ) = _READ.unpack_from(buffer, HEADROOM)
    if first != 0x45 or protocol != _TCP_NUMBER or flags & _FLAGS != _ACK or ttl < 2 or fragment & _FRAGMENT:
        return False
    flow = (table.by_server if side else table.by_client).get(key)
    if flow is None:
        return False
    translation = flow.steady
    if translation is None or total + HEADROOM != size:
        return False
    if offset == 0x80:
        if lead != _LINUX_TIMESTAMPS or total < 52:
            return False
    elif offset != 0x50 or total < 40:
        return False
    if int.from_bytes(buffer[HEADROOM:_IP_END], "big") % 0xFFFF:
        return False
    flow.seen = now
    if side == CLIENT:
        old = ack
        ack = (ack - translation.delta) & _MASK
        difference = ack - old
        if offset == 0x80 and translation.ts_delta:
            old = tsecr
            tsecr = (tsecr - translation.ts_delta) & _MASK
            difference += tsecr - old
            _TIMESTAMPS.pack_into(buffer, _TIMESTAMPS_AT, tsval, tsecr)
        shift = translation.to_server_shift
    else:
        flow.server_heard = True
        old = seq
        seq = (seq + translation.delta) & _MASK
        difference = seq - old
        if offset == 0x80 and translation.ts_delta:
            old = tsval
            tsval = (tsval + translation.ts_delta) & _MASK
            difference += tsval - old
            _TIMESTAMPS.pack_into(buffer, _TIMESTAMPS_AT, tsval, tsecr)
        shift = translation.to_client_shift
    if shift:
        old = window
        window = min(window << shift, 0xFFFF) if shift > 0 else window >> -shift
        difference += window - old
    if not partial and difference:
        checksum = 0xFFFF - ((0xFFFF - checksum + difference) % 0xFFFF or 0xFFFF)
    _TCP.pack_into(buffer, _TCP_AT, seq, ack, offset, flags, window, checksum)
    _route(buffer, ttl, ip_sum)
    counters.translated += 1
    return True


def route_only(waiting: Dict[bytes, Flow], counters: Counters, buffer: bytearray, size: int) -> bool:
    """The same for a box that translates nothing: only the TTL changes. `waiting` are flows that need a closer look."""
    first, total, fragment, ttl, protocol, ip_sum, key, _, _, offset, flags, _, _, _, _, _ = _READ.unpack_from(
        buffer, HEADROOM
    )
    if first != 0x45 or protocol != _TCP_NUMBER or flags & _FLAGS != _ACK or ttl < 2 or fragment & _FRAGMENT:
        return False
    if offset < 0x50 or total < 20 + (offset >> 4 << 2) or total + HEADROOM != size:
        return False
    flow = waiting.get(key)
    if flow is not None and flow.state is WAITING:
        return False
    if int.from_bytes(buffer[HEADROOM:_IP_END], "big") % 0xFFFF:
        return False
    _route(buffer, ttl, ip_sum)
    counters.passed += 1
    return True


def _route(buffer: bytearray, ttl: int, ip_sum: int) -> None:
    """Decrement the TTL; the checksum grows by what the header has lost (RFC 1624)."""
    ip_sum += 0x100
    if ip_sum >= 0xFFFF:
        ip_sum -= 0xFFFF
    _IP.pack_into(buffer, _IP_AT, ttl - 1, _TCP_NUMBER, ip_sum)
