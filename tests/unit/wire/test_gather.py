from __future__ import annotations

import numpy as np

from hopscope.wire import gather

DATA = np.frombuffer(bytes(range(1, 17)), np.uint8)


def test_fields_are_big_endian() -> None:
    at = np.array([0, 2])
    assert gather.u16(DATA, at).tolist() == [0x0102, 0x0304]
    assert gather.u32(DATA, at).tolist() == [0x01020304, 0x03040506]
    assert gather.u48(DATA, at).tolist() == [0x010203040506, 0x030405060708]
    assert gather.u64(DATA, at).tolist() == [0x0102030405060708, 0x030405060708090A]


def test_outside_is_zero() -> None:
    assert gather.u32(DATA, np.array([-4, -2, 14, 99])).tolist() == [0, 0x0102, 0x0F100000, 0]
    assert gather.u8(np.zeros(0, np.uint8), np.array([0, 1])).tolist() == [0, 0]
