"""The flows that the kernel crosses by itself: the map `flows` of `bpf/rewriter.bpf.c`, kept for a machine."""

from __future__ import annotations

import struct
from typing import Dict, Optional

from hopscope_nic.core.flow import Flow
from hopscope_nic.core.translation import PLAIN, Translation
from hopscope_nic.io.libbpf import Map

VALUE = struct.Struct("=IIiiIIQ")
"""struct flow: D, T, shifts to the client and to the server, watched, reserved, seen (ns)."""
_SEEN = struct.Struct("=Q")
_SEEN_AT = VALUE.size - _SEEN.size


class KernelFlows:
    """An `Offload`. What is taken becomes true with `apply`, what is given back at once."""

    def __init__(self, flows: Map) -> None:
        self._map = flows
        self._wanted: Dict[bytes, bytes] = {}
        self._there: Dict[bytes, Flow] = {}

    def take(self, flow: Flow) -> None:
        if flow.steady is not None:
            self._wanted[flow.key] = _value(flow.steady)
            self._there[flow.key] = flow

    def watch(self, flow: Flow) -> None:
        self._wanted[flow.key] = VALUE.pack(0, 0, 0, 0, 1, 0, 0)
        self._there[flow.key] = flow
        self.apply()

    def give_back(self, flow: Flow) -> None:
        if self._there.get(flow.key) is flow:
            del self._there[flow.key]
            self._wanted.pop(flow.key, None)
            self._map.remove(flow.key)

    def seen(self, flow: Flow) -> Optional[float]:
        if self._there.get(flow.key) is not flow:
            return None
        value = self._map.get(flow.key)
        nanoseconds = _SEEN.unpack_from(value, _SEEN_AT)[0] if value else 0
        return nanoseconds / 1e9 if nanoseconds else None

    def apply(self) -> None:
        """Hand over what has been taken. What the map has no room for goes on by the long way."""
        while self._wanted:
            key, value = self._wanted.popitem()
            if not self._map.put(key, value):
                self._there.pop(key, None)

    def __len__(self) -> int:
        return len(self._there)


def _value(translation: Translation) -> bytes:
    if translation is PLAIN:
        return VALUE.pack(0, 0, 0, 0, 0, 0, 0)
    return VALUE.pack(
        translation.delta,
        translation.ts_delta or 0,
        translation.to_client_shift,
        translation.to_server_shift,
        0,
        0,
        0,
    )
