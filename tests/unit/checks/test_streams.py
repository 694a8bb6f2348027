"""Streams against a byte array, for any order, overlap and repetition of segments."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hopscope.checks.streams import Stream
from hopscope.checks.view import View, keys, not_before
from hopscope.wire.taps import Position

CONTENT = bytes(range(1, 201))
ranges = st.lists(st.tuples(st.integers(0, 199), st.integers(1, 60)), max_size=12)


def stream(pieces: list[tuple[int, int]]) -> Stream:
    pieces = [(start, min(length, 200 - start)) for start, length in pieces]
    n = len(pieces)
    whole = np.zeros(n, dtype=np.int64)
    seq = np.array([start for start, _ in pieces], dtype=np.int64)
    length = np.array([size for _, size in pieces], dtype=np.int64)
    flags = np.full(n, 16, dtype=np.uint8)
    yes, end = whole == 0, seq + length
    seen = View(Position.CLIENT, np.arange(n), whole, yes, flags, length, seq, whole, yes, end, yes, whole)
    packets = SimpleNamespace(payload=lambda row: CONTENT[seq[row] : seq[row] + length[row]])
    return Stream(packets, seen)  # type: ignore[arg-type]


@given(ranges, st.integers(0, 199), st.integers(1, 200))
def test_missing_and_read_against_a_byte_array(pieces, start, size):
    end = min(200, start + size)
    have = np.zeros(200, dtype=bool)
    for at, length in pieces:
        have[at : at + length] = True
    found = stream(pieces)
    holes = np.ones(200, dtype=bool)
    holes[:start] = holes[end:] = False
    for a, b in found.missing(start, end):
        assert start <= a < b <= end
        assert not have[a:b].any()
        holes[a:b] = False
    assert have[holes].all()
    read = found.read(start, end)
    assert (read is None) == (not have[start:end].all())
    if read is not None:
        assert read == (CONTENT[start:end], end - start)
        assert found.row_of(start) is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-5, 5)), max_size=20), st.integers(0, 5), st.integers(-6, 6))
def test_not_before_against_a_search(known, value, time):
    names = np.array([name for name, _ in known], dtype=np.int64)
    since = np.array([moment for _, moment in known], dtype=np.int64)
    found = not_before(keys(np.array([value])), np.array([time]), keys(names), since)
    assert found.tolist() == [any(name == value and moment <= time for name, moment in known)]


def test_keys_tell_columns_apart():
    one, two = np.array([1, 2]), np.array([2, 1])
    assert keys(one, two)[0] != keys(two, one)[0]
    assert len(set(keys(np.arange(1000), np.zeros(1000, np.int64)).tolist())) == 1000
