"""Read big-endian fields at many offsets of one byte array at once.

Offsets outside of the array read as 0: callers keep masks of what is really there, and nothing raises on damaged input.
Several fields of one header are read from its ``block``: fetching a block costs as much as fetching one field.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Block = NDArray[np.uint8]
"""Shape (n, width): the bytes behind each of n offsets."""


def block(data: Bytes, at: Offsets, width: int) -> Block:
    """``width`` bytes from each offset on; zeros for those outside of the data."""
    room = len(data) - width
    if not at.size:
        return np.zeros((0, width), np.uint8)
    if int(at.min()) >= 0 and int(at.max()) <= room:
        return everywhere(data, f"V{width}")[at].view(np.uint8).reshape(len(at), width)  # all bytes in one gather
    out = np.zeros((len(at), width), np.uint8)
    inside = (at >= 0) & (at <= room)
    if inside.any():
        out[inside] = block(data, at[inside], width)
    # Rows at either edge of the data: from a copy of that edge, with zeros beyond it.
    base = max(0, room)
    edges = (
        ((at < 0) & (at > -width), -width, np.concatenate([np.zeros(width, np.uint8), data[:width]])),
        ((at >= base) & (at < len(data)) & ~inside, base, data[base:]),
    )
    for rows, origin, edge in edges:
        if rows.any():
            padded = np.concatenate([edge, np.zeros(2 * width, np.uint8)])
            out[rows] = block(padded, at[rows] - origin, width)
    return out


def everywhere(data: Bytes, dtype: str) -> NDArray[Any]:
    """A view of the data, at least one element long, with an element of this type at every byte."""
    room = len(data) - np.dtype(dtype).itemsize
    return np.ndarray((room + 1,), dtype, data.data, 0, (1,))


def field(head: Block, column: int, width: int, order: str = ">") -> NDArray[np.int64]:
    """The number of ``width`` bytes (1, 2 or 4) at a column of every row; ``order`` as struct has it."""
    return np.asarray(head[:, column : column + width].view(f"{order}u{width}")[:, 0].astype(np.int64))


def wide_field(head: Block, column: int, width: int) -> NDArray[np.uint64]:
    """The same for 6 or 8 bytes, unsigned."""
    if width == 6:
        return (field(head, column, 2) << 32 | field(head, column + 2, 4)).astype(np.uint64)
    return np.asarray(head[:, column : column + 8].view(">u8")[:, 0].astype(np.uint64))


def u8(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return field(block(data, at, 1), 0, 1)


def u16(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return field(block(data, at, 2), 0, 2)


def u32(data: Bytes, at: Offsets) -> NDArray[np.int64]:
    return field(block(data, at, 4), 0, 4)


def u48(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    return wide_field(block(data, at, 6), 0, 6)


def u64(data: Bytes, at: Offsets) -> NDArray[np.uint64]:
    return wide_field(block(data, at, 8), 0, 8)
