"""Read big-endian fields at many offsets of one byte array at once.

Offsets outside of the array read as 0: callers keep masks of what is really there, and nothing raises on damaged input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


def u8(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return _read(data, at, 1).astype(np.int64)


def u16(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return _read(data, at, 2).astype(np.int64)


def u32(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return _read(data, at, 4).astype(np.int64)


def u48(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    return np.asarray((u16(data, at) << 32 | u32(data, at + 2)).astype(np.uint64))


def u64(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    return _read(data, at, 8).astype(np.uint64)


def _read(data: Bytes, at: Offsets, width: int) -> NDArray[Any]:
    """Unsigned integers of ``width`` bytes at each offset."""
    room = len(data) - width
    if room >= 0 and at.size and int(at.min()) >= 0 and int(at.max()) <= room:
        # A view with an element at every byte: one gather instead of one for each byte.
        everywhere: NDArray[Any] = np.ndarray((room + 1,), f">u{width}", data.data, 0, (1,))
        return np.asarray(everywhere[at])
    out = np.zeros(at.shape, np.uint64)
    for step in range(width):
        inside = (at + step >= 0) & (at + step < len(data))
        byte = np.zeros(at.shape, np.uint64)
        byte[inside] = data[(at + step)[inside]]
        out = out << np.uint64(8) | byte
    return out
