"""The flows that the kernel crosses by itself: the map `flows` of `bpf/rewriter.bpf.c`, kept for a machine.

A flow is handed over side by side and in order: with it the kernel is told the last segment of either side that this
process has dealt with, and gives us the next ones too until that is the last it gave us.
"""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Tuple

from hopscope_nic.core.actions import CLIENT
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import HEADROOM, reverse
from hopscope_nic.core.translation import Translation
from hopscope_nic.io.libbpf import Map

VALUE = struct.Struct("=IIIiiIIHH12s12sQQQ")
"""struct flow: state, D, T, shifts to the client and to the server, V, the client's ISN, greeted, the scale promised,
the marks dealt with from the client and from the server, begun, seen from the client and from the server (ns)."""
MARK_AT = HEADROOM + 2
KEY_AT = HEADROOM + 12  # of an IPv4 header without options
_OPEN, _BEGUN, _LEFT, _HURRIED = 0, 1, 2, 3
_STATE, _ISN, _CLIENT_ISN, _SCALE, _BEGUN_AT, _SEEN = 0, 5, 6, 8, 11, 12
_KEY_OCTETS = 12
_STRANGE_AFTER = 1.0  # seconds: longer than a segment can wait for us in a socket
_PATIENCE = 256  # segments of a flow that come to us after we have let it go: more, and we shall never catch up
_NOTHING = bytes(12)


class _Known:
    """A flow, what of it has been dealt with, and what the kernel shall do with it once that has been said."""

    __slots__ = ("dealt", "flow", "patience", "steady")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.dealt: List[bytes] = [_NOTHING, _NOTHING]
        self.steady: Optional[Translation] = None
        self.patience = _PATIENCE


class KernelFlows:
    """An `Offload`. What is taken becomes true when the segment has been dealt with, all else at once."""

    def __init__(self, flows: Map) -> None:
        self._map = flows
        self._there: Dict[bytes, _Known] = {}
        self._at_hand: Optional[Tuple[int, bytes, bytes]] = None
        self.entered = 0
        """SYNs that the kernel has dealt with and a machine knows of."""

    # -- the machine's side

    def greeted(self, key: bytes, client_isn: int) -> Optional[int]:
        value = self._map.get(key)
        if value is None or key in self._there:
            return None
        fields = VALUE.unpack(value)
        if not fields[_ISN] or fields[_CLIENT_ISN] != client_isn:
            return None
        self.entered += 1
        return int(fields[_ISN])

    def begin(self, flow: Flow) -> None:
        self._there[flow.key] = _Known(flow)
        if self._map.get(flow.key) is None:
            self._map.put(flow.key, _plain(_BEGUN))

    def take(self, flow: Flow) -> None:
        known = self._of(flow)
        if known is not None:
            known.steady = flow.steady

    def take_back(self, flow: Flow) -> None:
        known = self._of(flow)
        if known is not None:
            known.steady = None
            self._map.put(flow.key, _plain(_LEFT))

    def forget(self, flow: Flow) -> None:
        if self._of(flow) is not None:
            del self._there[flow.key]
            self._map.remove(flow.key)

    def crossed(self, flow: Flow) -> Tuple[Optional[float], Optional[float]]:
        value = self._map.get(flow.key) if self._of(flow) is not None else None
        from_client, from_server = _seen(value)
        return from_client / 1e9 if from_client else None, from_server / 1e9 if from_server else None

    def learnt(self, flow: Flow, now: float) -> Optional[Translation]:
        value = self._map.get(flow.key) if self._of(flow) is not None else None
        return None if value is None or _is_young(value, now) else _translation(value)

    def strangers(self, now: float) -> List[Flow]:
        """Those that are not open, and will never be for want of their SYN, are taken away."""
        found = []
        for key in self._map.keys(_KEY_OCTETS):
            value = None if key in self._there else self._map.get(key)
            if value is None or _is_young(value, now):
                continue
            translation = _translation(value)
            if translation is None:
                self._map.remove(key)
                continue
            fields = VALUE.unpack(value)
            offered = SynOptions(None, fields[_SCALE], True, 0, False)
            flow = Flow(key, fields[_CLIENT_ISN], fields[_ISN], offered, now)
            flow.translation = translation
            found.append(flow)
        return found

    # -- the datapath's side

    def note(self, side: int, frame: bytearray) -> None:
        """This frame is dealt with next."""
        key = bytes(frame[KEY_AT : KEY_AT + _KEY_OCTETS])
        mark = bytes(frame[MARK_AT : MARK_AT + 4] + frame[HEADROOM + 24 : HEADROOM + 32])
        self._at_hand = side, key, mark

    def settle(self) -> None:
        """The frame that was noted last has been dealt with, and what came of it is out."""
        if self._at_hand is None:
            return
        side, key, mark = self._at_hand
        self._at_hand = None
        known = self._there.get(key if side == CLIENT else reverse(key))
        if known is None:
            return
        known.dealt[side] = mark
        if known.steady is not None:
            known.patience -= 1
            self._hand_over(known, known.steady)

    def _of(self, flow: Flow) -> Optional[_Known]:
        known = self._there.get(flow.key)
        return known if known is not None and known.flow is flow else None

    def _hand_over(self, known: _Known, steady: Translation) -> None:
        """What the map has no room for goes on by the long way."""
        key = known.flow.key
        seen = _seen(self._map.get(key))
        state = _OPEN if known.patience > 0 else _HURRIED
        numbers = steady.delta, steady.ts_delta or 0, steady.to_client_shift, steady.to_server_shift
        self._map.put(key, VALUE.pack(state, *numbers, 0, 0, 0, 0, *known.dealt, 0, *seen))


def _seen(value: Optional[bytes]) -> Tuple[int, int]:
    """When the kernel has last carried a segment from the client and from the server (ns), 0 for never."""
    if value is None:
        return 0, 0
    from_client, from_server = VALUE.unpack(value)[_SEEN:]
    return from_client, from_server


def _plain(state: int) -> bytes:
    return VALUE.pack(state, *[0] * 8, _NOTHING, _NOTHING, 0, 0, 0)


def _is_young(value: bytes, now: float) -> bool:
    return float(VALUE.unpack(value)[_BEGUN_AT]) / 1e9 > now - _STRANGE_AFTER


def _translation(value: bytes) -> Optional[Translation]:
    """What the kernel has learnt, None when it has not."""
    state, delta, ts_delta, to_client_shift, to_server_shift = VALUE.unpack(value)[:5]
    return Translation(delta, ts_delta, to_client_shift, to_server_shift) if state == _OPEN else None
