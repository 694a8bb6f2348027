from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.wire import checksum, pcap
from hopscope.wire.packets import ChecksumState
from hopscope.wire.writer import write_pcap
from support import frames

ABSENT, GOOD, BAD, PARTIAL, UNVERIFIABLE, MALFORMED = ChecksumState
V6 = {"src": "fd00::1", "dst": "fd00::2"}


def states(folder: Path, *given: bytes, snaplen: int = 262144) -> tuple[list[int], list[int]]:
    write_pcap(folder / "a.pcap", enumerate(given), snaplen=snaplen)
    packets = pcap.read(folder / "a.pcap")
    return packets.ip_checksum.tolist(), packets.l4_checksum.tolist()


def flip(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@given(st.binary(max_size=200), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12))
def test_sums_are_those_of_a_loop(data: bytes, ranges: list[tuple[int, int]]) -> None:
    spans = [tuple(sorted((min(a, len(data)), min(b, len(data))))) for a, b in ranges]
    found = checksum.sums(
        np.frombuffer(data, np.uint8),
        np.array([a for a, _ in spans], np.int64),
        np.array([b for _, b in spans], np.int64),
    )
    words = [data[a:b] + b"\0" * ((b - a) % 2) for a, b in spans]
    assert found.tolist() == [sum(struct.unpack(f"!{len(w) // 2}H", w)) % 65535 for w in words]


def test_sums_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, 5000, np.uint8)
    start = rng.integers(0, 4000, 300)
    stop = start + rng.integers(0, 900, 300)
    whole = checksum.sums(data, start, stop)
    monkeypatch.setattr(checksum, "_BLOCK", 64)
    assert checksum.sums(data, start, stop).tolist() == whole.tolist()


@pytest.mark.parametrize("size", range(8))
def test_what_is_right_is_good_and_one_bit_makes_it_bad(tmp_path: Path, size: int) -> None:
    payload = bytes(range(100, 100 + size)) + b"z"
    good = [
        frames.segment(1, 2, "PA", 3, 4, payload),
        frames.ethernet(frames.ipv4(frames.udp(1, 2, payload), proto=17)),
        frames.ethernet(frames.ipv4(frames.icmp(payload=payload), proto=1)),
        frames.segment(1, 2, "PA", 3, 4, payload, **V6),
        frames.ethernet(frames.ipv6(frames.udp(1, 2, payload, **V6), proto=17)),
    ]
    ip, l4 = states(tmp_path, *good)
    assert ip == [GOOD, GOOD, GOOD, ABSENT, ABSENT]
    assert l4 == [GOOD] * 5
    last = [frame.rindex(payload) + size for frame in good]
    assert states(tmp_path, *(flip(frame, at) for frame, at in zip(good, last, strict=True))) == (ip, [BAD] * 5)


def test_a_changed_ip_header_is_bad(tmp_path: Path) -> None:
    ip, l4 = states(tmp_path, flip(frames.segment(1, 2, "S"), 14 + 8))
    assert (ip, l4) == ([BAD], [GOOD])  # the TTL is not in the pseudo-header
    ip, l4 = states(tmp_path, flip(frames.segment(1, 2, "S"), 14 + 15))
    assert (ip, l4) == ([BAD], [BAD])  # the address is


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_offloaded_checksums_are_told_apart(tmp_path_factory: pytest.TempPathFactory, payload: bytes, seq: int) -> None:
    folder = tmp_path_factory.mktemp("partial")
    _, l4 = states(folder, frames.segment(1, 2, "PA", seq, 4, payload, partial=True))
    assert l4 in ([PARTIAL], [GOOD])  # GOOD only where both are the same number
    _, l4 = states(folder, frames.segment(1, 2, "PA", seq, 4, payload, partial=True, **V6))
    assert l4 in ([PARTIAL], [GOOD])


def test_udp_without_a_checksum_is_absent_in_v4_and_bad_in_v6(tmp_path: Path) -> None:
    four = frames.ethernet(frames.ipv4(frames.udp(1, 2, b"x", zero=True), proto=17))
    six = frames.ethernet(frames.ipv6(frames.udp(1, 2, b"x", zero=True, **V6), proto=17))
    assert states(tmp_path, four, six)[1] == [ABSENT, BAD]


def test_what_was_not_kept_cannot_be_verified(tmp_path: Path) -> None:
    frame = frames.segment(1, 2, "PA", payload=b"x" * 100)
    assert states(tmp_path, frame, snaplen=80) == ([GOOD], [UNVERIFIABLE])
    assert states(tmp_path, frame, snaplen=40) == ([GOOD], [UNVERIFIABLE])
    part = frames.ethernet(frames.ipv4(frames.udp(1, 2, bytes(30))[:24], proto=17, fragment=0x2000))
    assert states(tmp_path, part) == ([GOOD], [UNVERIFIABLE])


def test_padding_of_short_frames_is_not_summed(tmp_path: Path) -> None:
    frame = frames.segment(1, 2, "A")
    assert states(tmp_path, frame[:54] + b"\xff" * 6)[1] == [GOOD]


def test_contradicting_lengths_are_malformed(tmp_path: Path) -> None:
    too_long = bytearray(frames.segment(1, 2, "S"))
    too_long[16:18] = b"\xff\xff"
    bad_offset = bytearray(frames.segment(1, 2, "S"))
    bad_offset[14 + 20 + 12] = 0x10
    ip, l4 = states(tmp_path, bytes(too_long), bytes(bad_offset), frames.arp())
    assert ip == [MALFORMED, GOOD, ABSENT]
    assert l4 == [MALFORMED, MALFORMED, ABSENT]


def test_icmpv6_has_a_pseudo_header(tmp_path: Path) -> None:
    body = b"\x80\x00\x00\x00\x00\x01\x00\x01ping"
    value = frames.checksum(frames.pseudo(V6["src"], V6["dst"], 58, len(body)) + body)
    message = body[:2] + value.to_bytes(2, "big") + body[4:]
    assert states(tmp_path, frames.ethernet(frames.ipv6(message, proto=58, **V6)))[1] == [GOOD]
