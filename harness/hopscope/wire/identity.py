"""Are the bytes at many places of one file those at as many places of another? Compared, not hashed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import gather

_BATCH = 1 << 18
"""Bytes of either side compared at a time: what a processor's cache holds."""

_FEW = 256
"""Rows of which comparing each by itself takes no longer than the calls for all of them."""


def same(
    left: NDArray[np.uint8], left_at: NDArray[np.int64], right: NDArray[np.uint8], right_at: NDArray[np.int64],
    length: NDArray[np.int64],
) -> NDArray[np.bool_]:  # fmt: skip
    """For each row whether ``length`` bytes from either offset on are equal; they lie within both files.

    Rows of 2^k to 2^(k+1) - 1 bytes are compared together: by their first 2^k bytes and by their last.
    """
    if len(length) <= _FEW:
        each = zip(left_at.tolist(), right_at.tolist(), length.tolist(), strict=True)
        return np.array([left[a : a + n].tobytes() == right[b : b + n].tobytes() for a, b, n in each], np.bool_)
    out = np.ones(len(length), np.bool_)
    power = np.frexp(length.astype(np.float64))[1] - 1
    for k in np.unique(power[length > 0]).tolist():
        size = 1 << k
        rows = np.flatnonzero((power == k) & (length > 0))
        step = max(1, _BATCH >> k)
        for at in range(0, len(rows), step):
            some = rows[at : at + step]
            out[some] = _equal(left, left_at[some], right, right_at[some], size)
            longer = some[length[some] > size]
            back = length[longer] - size
            out[longer] &= _equal(left, left_at[longer] + back, right, right_at[longer] + back, size)
    return out


def _equal(
    left: NDArray[np.uint8], left_at: NDArray[np.int64], right: NDArray[np.uint8], right_at: NDArray[np.int64],
    size: int,
) -> NDArray[np.bool_]:  # fmt: skip
    word = f"u{min(size, 8)}"
    one, other = gather.block(left, left_at, size).view(word), gather.block(right, right_at, size).view(word)
    return np.asarray((one == other).all(axis=1))
