"""Captures for benchmarks, made with NumPy: both sides of one box that answers early and translates (``hold``).

20,000 flows a second, 20 ms beyond the box. A flow is ten frames: SYN, SYN-ACK, ACK, a request of 100 to 700 bytes, two
response segments (1,448 bytes and 400 to 1,000), an ACK, FIN, FIN, ACK, all with timestamps. Of every fiftieth flow the
first response segment is sent twice, the client having asked for it with a SACK block. Payload is random; all checksums
are right. On average 0.31 kB a frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILES = ("clientnic-eth0.pcap", "clientnic-eth1.pcap")
"""Client's side, server's side."""

_FIN, _SYN, _PSH, _ACK = 1, 2, 8, 16
_REQUESTS, _TAILS, _SEGMENT = (100, 300, 500, 700), (400, 600, 800, 1000), 1448
_START_NS, _SPACING_NS = 1_760_000_000_000_000_000, 50_000
_AT_ONCE = 4000
"""Flows made at a time."""

_HELLO = bytes.fromhex("020405b4 0402 080a 0000000000000000 01 030307")
_STAMPS = bytes.fromhex("0101 080a 0000000000000000")
_SACKED = bytes.fromhex("0101 080a 0000000000000000 0101 050a 0000000000000000")


def write(folder: Path, flows: int, *, sides: int = 2, seed: int = 1) -> int:
    """Write one or both sides; returns frames a side."""
    files = [(folder / name).open("wb") for name in FILES[:sides]]
    frames = 0
    try:
        for file in files:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for first in range(0, flows, _AT_ONCE):
            batch = list(_batch(first, min(_AT_ONCE, flows - first), seed))
            for far, file in enumerate(files):
                file.write(_records(batch, far=bool(far)).data)
            frames += sum(len(rows) for rows, _, _, _ in batch)
    finally:
        for file in files:
            file.close()
    return frames


_Part = tuple[NDArray[np.uint8], tuple[NDArray[np.int64] | None, ...], NDArray[np.int64], bool]
"""Frames of one kind with the server's side's numbers (n, bytes), times by side, deltas, whether the client sends."""


def _batch(first: int, count: int, seed: int) -> Iterator[_Part]:
    random = np.random.default_rng((seed, first))
    flow = first + np.arange(count)
    client_isn, real_isn, spoofed = (random.integers(0, 2**32, count) for _ in range(3))
    delta = (spoofed - real_isn) % 2**32
    start = _START_NS + flow * _SPACING_NS
    noise = random.integers(0, 256, 1 << 20, np.uint8)
    where = random.integers(0, len(noise) - 2000, count)
    clock = random.integers(0, 2**31, (2, count))
    kind = random.integers(0, 4, count)
    lossy = flow % 50 == 7

    def part(
        mask: NDArray[np.bool_], up: bool, at_us: tuple[int | None, int | None], flags: int, seq: Any, ack: Any,
        size: int, options: bytes, sack: Any = None,
    ) -> _Part:  # fmt: skip
        which = np.flatnonzero(mask)
        seq, ack = (np.broadcast_to(value, count)[which] for value in (seq, ack))
        own, other = (clock[0], clock[1]) if up else (clock[1], clock[0])
        ticks = (at_us[1] or 0) // 1000
        stamps = own[which] + ticks, other[which] + ticks
        rows = _frames(flow[which], up, flags, seq, ack, options, stamps, None if sack is None else sack[which])
        if size:  # what is sent again has the same bytes
            body = np.lib.stride_tricks.sliding_window_view(noise, size)[where[which]]
            rows = np.concatenate([rows, body], axis=1)
            rows[:, 16:18] = _big(np.full(len(which), rows.shape[1] - 14), 2)
        jitter = start[which] + random.integers(0, 900, len(which))
        return rows, tuple(None if us is None else jitter + us * 1000 for us in at_us), delta[which], up

    everyone = np.ones(count, np.bool_)
    c1, r1 = client_isn + 1, real_isn + 1
    request, tail = np.take(_REQUESTS, kind), np.take(_TAILS, kind)
    end = r1 + _SEGMENT + tail
    up, down = (0, 15), (15, 0)
    yield part(everyone, True, up, _SYN, client_isn, 0, 0, _HELLO)
    yield part(everyone, False, (10, 20_000), _SYN | _ACK, real_isn, c1, 0, _HELLO)
    yield part(everyone, True, (80, 20_010), _ACK, c1, r1, 0, _STAMPS)
    for at in range(4):
        yield part(kind == at, True, (90, 20_020), _PSH | _ACK, c1, r1, _REQUESTS[at], _STAMPS)
        yield part(kind == at, False, _at(40_032, down), _PSH | _ACK, r1 + _SEGMENT, c1 + request, _TAILS[at], _STAMPS)
    yield part(everyone, False, _at(40_030, down), _ACK, r1, c1 + request, _SEGMENT, _STAMPS)
    edges = np.stack([r1 + _SEGMENT, end], axis=1)
    yield part(lossy, True, _at(40_140, up), _ACK, c1 + request, r1, 0, _SACKED, edges)
    yield part(lossy, False, _at(60_140, down), _ACK, r1, c1 + request, _SEGMENT, _STAMPS)
    yield part(everyone, True, _at(60_250, up), _ACK, c1 + request, end, 0, _STAMPS)
    yield part(everyone, True, _at(60_260, up), _FIN | _ACK, c1 + request, end, 0, _STAMPS)
    yield part(everyone, False, _at(80_260, down), _FIN | _ACK, end, c1 + request + 1, 0, _STAMPS)
    yield part(everyone, True, _at(80_380, up), _ACK, c1 + request + 1, end + 1, 0, _STAMPS)


def _at(microseconds: int, late: tuple[int, int]) -> tuple[int, int]:
    """When a frame passes either side of the box."""
    return microseconds + late[0], microseconds + late[1]


def _frames(
    flow: NDArray[np.int64], up: bool, flags: int, seq: NDArray[np.int64], ack: NDArray[np.int64], options: bytes,
    stamps: tuple[NDArray[np.int64], NDArray[np.int64]], sack: NDArray[np.int64] | None,
) -> NDArray[np.uint8]:  # fmt: skip
    """Headers of one kind of frame, with numbers as on the server's side and no TCP checksum yet."""
    size = 54 + len(options)
    rows = np.zeros((len(flow), size), np.uint8)
    rows[:, :12] = np.frombuffer(bytes.fromhex("020000000002020000000001"), np.uint8)
    rows[:, 12:24] = np.frombuffer(struct.pack("!HBBHHHBB", 0x0800, 0x45, 0, size - 14, 0, 0x4000, 63, 6), np.uint8)
    client, server = _big(0x0A010000 | flow // 25_000 + 10, 4), _big(np.full(len(flow), 0x0A01020A), 4)
    ports = _big(flow % 25_000 + 32_768, 2), _big(np.full(len(flow), 8080), 2)
    rows[:, 18:20] = _big((flow * 7 + flags) & 0xFFFF, 2)
    rows[:, 26:30], rows[:, 30:34] = (client, server) if up else (server, client)
    rows[:, 34:36], rows[:, 36:38] = ports if up else ports[::-1]
    rows[:, 38:42], rows[:, 42:46] = _big(seq, 4), _big(ack, 4)
    rows[:, 46], rows[:, 47], rows[:, 48:50] = (5 + len(options) // 4) << 4, flags, [0x01, 0xF6]
    rows[:, 54:] = np.frombuffer(options, np.uint8)
    at = 54 + options.index(b"\x08\x0a") + 2
    rows[:, at : at + 4] = _big(stamps[0], 4)
    if flags != _SYN:
        rows[:, at + 4 : at + 8] = _big(stamps[1], 4)
    if sack is not None:
        rows[:, -8:-4], rows[:, -4:] = _big(sack[:, 0], 4), _big(sack[:, 1], 4)
    return rows


def _records(batch: list[_Part], *, far: bool) -> NDArray[np.uint8]:
    """The batch as records of a pcap file, in order of time, with the numbers and checksums of one side."""
    mine = [(rows, when[far], delta, up) for rows, when, delta, up in batch]
    sized = [_finished(rows.copy(), delta, up, far=far) for rows, when, delta, up in mine if when is not None]
    time = np.concatenate([when for _, when, _, _ in mine if when is not None])
    length = np.concatenate([np.full(len(rows), rows.shape[1] + 16) for rows in sized])
    order = np.argsort(time, kind="stable")
    offset = np.empty(len(order), np.int64)
    offset[order] = np.concatenate([[0], np.cumsum(length[order])[:-1]])
    out = np.empty(int(length.sum()), np.uint8)
    at = 0
    for rows in sized:
        mine = slice(at, at + len(rows))
        at += len(rows)
        head = np.stack([time[mine] // 10**9, time[mine] % 10**9, length[mine] - 16, length[mine] - 16], axis=1)
        whole = np.concatenate([head.astype("<u4").view(np.uint8).reshape(len(rows), 16), rows], axis=1)
        out[offset[mine][:, None] + np.arange(whole.shape[1])] = whole
    return out


def _finished(rows: NDArray[np.uint8], delta: NDArray[np.int64], up: bool, *, far: bool) -> NDArray[np.uint8]:
    """Frames with the server's numbers of one side, and right checksums."""
    if not far and len(rows):
        at = 42 if up else 38
        if not (up and rows[0, 47] == _SYN):
            _move(rows[:, at : at + 4], delta)
        if rows.shape[1] == len(_SACKED) + 54:
            for edge in (-8, -4):
                _move(rows[:, rows.shape[1] + edge : rows.shape[1] + edge + 4], delta)
    rows[:, 24:26] = _big(_sum(rows[:, 14:34]) ^ 0xFFFF, 2)
    pseudo = _sum(rows[:, 26:34]) + 6 + rows.shape[1] - 34
    rows[:, 50:52] = _big(_fold(pseudo + _sum(rows[:, 34:])) ^ 0xFFFF, 2)
    return rows


def _move(field: NDArray[np.uint8], delta: NDArray[np.int64]) -> None:
    value = np.ascontiguousarray(field).view(">u4")[:, 0].astype(np.int64)
    field[:] = _big(value + delta, 4)


def _big(value: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Big-endian bytes, shape (n, width)."""
    wide = np.asarray(value, np.int64) & ((1 << 8 * width) - 1)
    return wide.astype(f">u{width}").view(np.uint8).reshape(-1, width)


def _sum(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Folded sum of 16-bit words of each row (RFC 1071); the widths here are even."""
    return _fold(np.ascontiguousarray(rows).view(">u2").sum(axis=1, dtype=np.int64))


def _fold(total: NDArray[np.int64]) -> NDArray[np.int64]:
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return total
