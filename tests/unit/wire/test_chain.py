"""The walk over a file's records finds what a simple loop finds, however the file is cut into stretches."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire import chain, pcap, records
from support import slow_captures

FILES = st.sampled_from(["<pcap", ">pcap", "<pcapng", ">pcapng"])


@contextmanager
def stretches(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "STRETCH", size)
        yield


def capture(kind: str, rng: random.Random, count: int) -> bytes:
    """A file of frames of all sizes; what some carry looks like records of a capture itself."""
    order, form = kind[0], kind[1:]
    write = _record if form == "pcap" else _blocks
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, LONGEST, 1) if form == "pcap" else _section(order)
    for number in range(count):
        size = rng.choice((0, 1, 13, 60, 60, 66, 1514)) if rng.random() < 0.99 else 9000
        frame = rng.randbytes(size)
        if rng.random() < 0.2:
            frame = write(order, number, b"".join(write(order, n, bytes(40)) for n in range(4)), rng)
        out += write(order, number, frame, rng)
    return out


LONGEST = slow_captures.LONGEST


def _record(order: str, number: int, frame: bytes, _: object = None) -> bytes:
    return struct.pack(order + "IIII", 1_700_000_000 + number, number, len(frame), len(frame) + number % 2) + frame


def _section(order: str) -> bytes:
    nano = struct.pack(order + "HHB3x", 9, 1, 9)
    described = struct.pack(order + "HHI", 1, 0, 0) + nano
    return _block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)) + _block(order, 1, described)


def _block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def _blocks(order: str, number: int, frame: bytes, rng: random.Random | None = None) -> bytes:
    """A packet, now and then as a simple or an obsolete block, or with other blocks in front of it."""
    which = rng.random() if rng else 0.5
    size = len(frame)
    if which < 0.05:
        return _block(order, 3, struct.pack(order + "I", size) + frame)
    if which < 0.1:
        return _block(order, 2, struct.pack(order + "HHIIII", 0, 0, 0, number, size, size) + frame)
    if which < 0.12:
        return _section("<" if which < 0.11 else ">" if order == ">" else "<") + _blocks(order, number, frame)
    before = _block(order, 5, bytes(12)) if which < 0.15 else b""
    return before + _block(order, 6, struct.pack(order + "IIIII", 0, 1, number, size, size) + frame)


def found(data: bytes, span: int = records.SPAN) -> tuple[list[tuple[int, ...]], bool]:
    parts = list(pcap.spans(Path("a.pcap"), np.frombuffer(data, np.uint8), span))
    one = records.joined(parts)
    columns = (one.offset, one.caplen, one.wirelen, one.time, one.interface, one.linktype)
    return list(zip(*(column.tolist() for column in columns), strict=True)), one.truncated


@given(FILES, st.integers(0, 2**32), st.sampled_from([64, 300, 5000]), st.sampled_from([700, 20_000, 1 << 26]))
def test_stretches_and_spans_change_nothing(kind: str, seed: int, stretch: int, span: int) -> None:
    data = capture(kind, random.Random(seed), 30)
    with stretches(stretch):
        assert found(data, span) == slow_captures.records(data)


@given(FILES, st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3))
def test_damage_ends_the_walk_where_a_simple_loop_ends(kind: str, seed: int, damage: list[tuple[float, int]]) -> None:
    rng = random.Random(seed)
    data = bytearray(capture(kind, rng, 25))
    for place, value in damage:
        data[24 + int(place * (len(data) - 25))] = value
    cut = bytes(data[: rng.randrange(30, len(data) + 1)])
    with stretches(256):
        assert found(cut, 3000) == slow_captures.records(cut)


@pytest.mark.parametrize("kind", ["<pcap", ">pcap", "<pcapng", ">pcapng"])
def test_a_long_file_is_walked_side_by_side(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = capture(kind, random.Random(5), 1200)
    expected = slow_captures.records(data)
    monkeypatch.setattr(chain, "STRETCH", 2048)
    walked = []
    scalar = chain._one_by_one
    monkeypatch.setattr(chain, "_one_by_one", lambda *given: walked.append(given) or scalar(*given))
    assert found(data) == expected
    assert len(walked) <= 0.2 * len(data) / 2048  # the rest was guessed, or mended side by side
