"""The flows that the kernel crosses by itself: the map `flows` of `bpf/rewriter.bpf.c`, kept for a machine."""

from __future__ import annotations

import struct
from typing import Dict, Optional

from hopscope_nic.core.flow import Flow
from hopscope_nic.core.translation import Translation
from hopscope_nic.io.libbpf import Map

VALUE = struct.Struct("=IIIiiIIIQ")
"""struct flow: state, D, T, shifts to the client and to the server, V, the client's ISN, answered, seen (ns)."""
_OPEN, _BEGUN, _LEFT = 0, 1, 2
_ISN, _CLIENT_ISN, _SEEN = 5, 6, 8
_KEY_OCTETS = 12
_STRANGE_AFTER = 5.0  # seconds: longer than a SYN can wait for us in a socket


class KernelFlows:
    """An `Offload`. What is taken becomes true with `apply`, all else at once."""

    def __init__(self, flows: Map, *, answers: bool) -> None:
        """`answers`: the kernel answers SYNs, so it has to know of every flow that there is."""
        self._map = flows
        self._answers = answers
        self._wanted: Dict[bytes, bytes] = {}
        self._there: Dict[bytes, Flow] = {}
        self.entered = 0
        """SYNs that the kernel has answered and a machine knows of."""

    def answered(self, key: bytes, client_isn: int) -> Optional[int]:
        value = self._map.get(key) if self._answers else None
        if value is None or key in self._there:
            return None
        fields = VALUE.unpack(value)
        if not fields[_ISN] or fields[_CLIENT_ISN] != client_isn:
            return None
        self.entered += 1
        return int(fields[_ISN])

    def begin(self, flow: Flow) -> None:
        if self._answers:
            self._there[flow.key] = flow
            if self._map.get(flow.key) is None:
                self._map.put(flow.key, _plain(_BEGUN))

    def take(self, flow: Flow) -> None:
        if flow.steady is not None:
            self._wanted[flow.key] = _translated(flow.steady)
            self._there[flow.key] = flow

    def take_back(self, flow: Flow) -> None:
        if self._there.get(flow.key) is flow:
            self._wanted.pop(flow.key, None)
            if self._answers:
                self._map.put(flow.key, _plain(_LEFT))
            else:
                self._map.remove(flow.key)

    def forget(self, flow: Flow) -> None:
        if self._there.get(flow.key) is flow:
            del self._there[flow.key]
            self._wanted.pop(flow.key, None)
            self._map.remove(flow.key)

    def seen(self, flow: Flow) -> Optional[float]:
        value = self._map.get(flow.key) if self._there.get(flow.key) is flow else None
        nanoseconds = VALUE.unpack(value)[_SEEN] if value else 0
        return nanoseconds / 1e9 if nanoseconds else None

    def sweep(self, now: float) -> int:
        """Take away flows that the kernel has begun and nobody here knows: their SYN was lost in front of us."""
        strange = 0
        for key in self._map.keys(_KEY_OCTETS):
            value = None if key in self._there else self._map.get(key)
            if value is not None and VALUE.unpack(value)[_SEEN] / 1e9 < now - _STRANGE_AFTER:
                self._map.remove(key)
                strange += 1
        return strange

    def apply(self) -> None:
        """Hand over what has been taken. What the map has no room for goes on by the long way."""
        while self._wanted:
            key, value = self._wanted.popitem()
            self._map.put(key, value)


def _plain(state: int) -> bytes:
    return VALUE.pack(state, 0, 0, 0, 0, 0, 0, 0, 0)


def _translated(translation: Translation) -> bytes:
    shifts = translation.to_client_shift, translation.to_server_shift
    return VALUE.pack(_OPEN, translation.delta, translation.ts_delta or 0, *shifts, 0, 0, 0, 0)
