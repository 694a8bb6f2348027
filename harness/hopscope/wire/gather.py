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
    if len(data) == 0:
        return np.zeros(at.shape, np.int64)
    inside = (at >= 0) & (at < len(data))
    if inside.all():
        return data[at].astype(np.int64)
    return np.where(inside, data[np.where(inside, at, 0)], 0).astype(np.int64)


def u16(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return np.asarray(u8(data, at) << 8 | u8(data, at + 1))


def u32(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return np.asarray(u16(data, at) << 16 | u16(data, at + 2))


def u48(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    return np.asarray((u16(data, at) << 32 | u32(data, at + 2)).astype(np.uint64))


def u64(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    high = u32(data, at).astype(np.uint64)
    low: NDArray[Any] = u32(data, at + 4).astype(np.uint64)
    return np.asarray(high << np.uint64(32) | low)
