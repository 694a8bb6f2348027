"""Sequence numbers: arithmetic modulo 2^32 (RFC 9293, section 3.4), on integers and on arrays alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MODULUS = 1 << 32
HALF = 1 << 31


def add(value: ArrayLike, amount: ArrayLike) -> NDArray[np.int64]:
    """``value + amount`` modulo 2^32, as int64 in 0..2^32-1."""
    return np.asarray((_wide(value) + _wide(amount)) & 0xFFFFFFFF)


def sub(value: ArrayLike, amount: ArrayLike) -> NDArray[np.int64]:
    """``value - amount`` modulo 2^32, as int64 in 0..2^32-1: the distance walked forward from amount to value."""
    return np.asarray((_wide(value) - _wide(amount)) & 0xFFFFFFFF)


def distance(value: ArrayLike, origin: ArrayLike) -> NDArray[np.int64]:
    """Signed distance from origin to value, -2^31..2^31-1: negative when value comes before origin."""
    return np.asarray(((_wide(value) - _wide(origin) + HALF) & 0xFFFFFFFF) - HALF)


def before(left: ArrayLike, right: ArrayLike) -> NDArray[np.bool_]:
    """Whether left comes before right on the circle."""
    return np.asarray(distance(left, right) < 0)


def _wide(value: ArrayLike) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(value)
    return array.astype(np.int64)
