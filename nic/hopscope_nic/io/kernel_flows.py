"""The flows that the kernel crosses by itself: the map `flows` of `bpf/flows.h`, kept for a machine.

A flow is handed over side by side and in order: with it the kernel is told the last segment of either side that this
process has dealt with, and gives us the next ones too until that is the last it gave us. Usual flows are the kernel's
alone from their SYN on; the machine adopts one when it is given a segment of it, or told of it by a sweep.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from hopscope_nic.core.actions import CLIENT
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.offload import Adopted
from hopscope_nic.core.segment import HEADROOM, reverse
from hopscope_nic.core.translation import Translation
from hopscope_nic.io.kernel_entry import BEGUN, HURRIED, LEFT, NOTHING, OPEN, Entry
from hopscope_nic.io.libbpf import Map

MARK_AT = HEADROOM + 2
KEY_AT = HEADROOM + 12  # of an IPv4 header without options
KEY_OCTETS = 12
_PATIENCE = 256  # segments of a flow that come to us after we have let it go: more, and we shall never catch up


class _Known:
    """A flow, what of it has been dealt with, and what the kernel shall do with it once that has been said."""

    __slots__ = ("dealt", "flow", "patience", "steady")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.dealt: List[bytes] = [NOTHING, NOTHING]
        self.steady: Optional[Translation] = None
        self.patience = _PATIENCE


class KernelFlows:
    """An `Offload`. What is taken becomes true when the segment has been dealt with, all else at once."""

    def __init__(self, flows: Map) -> None:
        self._map = flows
        self._there: Dict[bytes, _Known] = {}
        self._at_hand: Optional[Tuple[int, bytes, bytes]] = None

    # -- the machine's side

    def adopt(self, key: bytes, now: float) -> Optional[Adopted]:
        entry = None if key in self._there else self._entry(key)
        return None if entry is None or entry.state not in (BEGUN, OPEN) else entry.adopted(key, now)

    def begin(self, flow: Flow) -> None:
        self._there[flow.key] = _Known(flow)
        if self._map.get(flow.key) is None:
            self._map.put(flow.key, Entry(BEGUN, told=1).pack())

    def take(self, flow: Flow) -> None:
        known = self._of(flow)
        if known is not None:
            known.steady = flow.steady

    def take_back(self, flow: Flow) -> None:
        known = self._of(flow)
        if known is not None:
            known.steady = None
            self._map.put(flow.key, Entry(LEFT, told=1).pack())

    def forget(self, flow: Flow) -> None:
        if self._of(flow) is not None:
            del self._there[flow.key]
            self._map.remove(flow.key)

    def crossed(self, flow: Flow) -> Tuple[Optional[float], Optional[float]]:
        entry = self._entry(flow.key) if self._of(flow) is not None else None
        if entry is None:
            return None, None
        return entry.from_client / 1e9 or None, entry.from_server / 1e9 or None

    # -- the datapath's side

    def note(self, side: int, frame: bytearray) -> None:
        """This frame is dealt with next."""
        key = bytes(frame[KEY_AT : KEY_AT + KEY_OCTETS])
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

    def _entry(self, key: bytes) -> Optional[Entry]:
        value = self._map.get(key)
        return None if value is None else Entry.read(value)

    def _hand_over(self, known: _Known, steady: Translation) -> None:
        """What the map has no room for goes on by the long way."""
        key = known.flow.key
        before = self._entry(key) or Entry(BEGUN)
        handed = Entry(
            OPEN if known.patience > 0 else HURRIED,
            steady.delta,
            steady.ts_delta or 0,
            steady.to_client_shift,
            steady.to_server_shift,
            from_client=before.from_client,
            from_server=before.from_server,
            told=1,
            dealt_client=known.dealt[0],
            dealt_server=known.dealt[1],
        )
        self._map.put(key, handed.pack())
