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


def test_a_block_is_the_bytes_behind_each_offset_and_zeros_beyond_the_data() -> None:
    at = np.array([-3, 0, 5, 13, 16, 40])
    rows = [[0, 0, 0, 1], [1, 2, 3, 4], [6, 7, 8, 9], [14, 15, 16, 0], [0] * 4, [0] * 4]
    assert gather.block(DATA, at, 4).tolist() == rows
    assert gather.block(DATA[:2], np.array([0, 1]), 4).tolist() == [[1, 2, 0, 0], [2, 0, 0, 0]]
    assert gather.block(DATA, np.zeros(0, np.int64), 4).shape == (0, 4)


def test_fields_of_a_block_in_either_order() -> None:
    head = gather.block(DATA, np.array([0, 4]), 8)
    assert gather.field(head, 1, 2).tolist() == [0x0203, 0x0607]
    assert gather.field(head, 1, 2, "<").tolist() == [0x0302, 0x0706]
    assert gather.wide_field(head, 0, 8).tolist() == [0x0102030405060708, 0x05060708090A0B0C]
    assert gather.wide_field(head, 2, 6).tolist() == [0x030405060708, 0x0708090A0B0C]
