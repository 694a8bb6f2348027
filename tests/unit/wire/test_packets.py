"""Decoding: agreement with a slow and simple parser, on whole, cut and mutated frames, and on arbitrary bytes."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.errors import HarnessFault
from hopscope.wire import pcap
from hopscope.wire.packets import Malformed, Packets
from hopscope.wire.writer import write_pcap
from support import frames
from support.grids import sparse

V4, V6 = ("10.1.0.10", "10.1.2.10"), ("fd00::1", "2001:db8::2")


def read(given: list[bytes], *, snaplen: int = 262144, linktype: int = 1) -> Packets:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        write_pcap(path, [(n, frame) for n, frame in enumerate(given)], snaplen=snaplen, linktype=linktype)
        return pcap.read(path)  # a mapped file stays readable after it is unlinked


def simple_tcp(frame: bytes) -> dict[str, Any] | None:
    """TCP over IPv4 over Ethernet without a VLAN, one field at a time; None for anything else or incomplete."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return None
    ihl = (frame[14] & 15) * 4
    total = int.from_bytes(frame[16:18], "big") or len(frame) - 14
    if ihl < 20 or total < ihl or 14 + total > len(frame) or frame[23] != 6:
        return None
    if int.from_bytes(frame[20:22], "big") & 0x1FFF:
        return None
    tcp = frame[14 + ihl : 14 + total]
    if len(tcp) < 20 or not 20 <= (tcp[12] >> 4) * 4 <= len(tcp):
        return None
    header = (tcp[12] >> 4) * 4
    found = {
        "sport": int.from_bytes(tcp[0:2], "big"),
        "dport": int.from_bytes(tcp[2:4], "big"),
        "seq": int.from_bytes(tcp[4:8], "big"),
        "ack": int.from_bytes(tcp[8:12], "big"),
        "flags": tcp[13],
        "window": int.from_bytes(tcp[14:16], "big"),
        "tcp_hlen": header,
        "payload_len": len(tcp) - header,
        "mss": -1,
        "wscale": -1,
        "sack_permitted": False,
        "sack": [0] * 8,
        "sack_count": 0,
        "tsval": -1,
        "tsecr": -1,
    }
    simple_options(tcp[20:header], found)
    return found


def simple_options(options: bytes, found: dict[str, Any]) -> None:
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        if at + 1 >= len(options) or options[at + 1] < 2 or at + options[at + 1] > len(options):
            return
        kind, length = options[at], options[at + 1]
        value = options[at + 2 : at + length]
        numbers = [int.from_bytes(value[n : n + 4], "big") for n in range(0, len(value) // 4 * 4, 4)]
        if (kind, length) == (2, 4):
            found["mss"] = int.from_bytes(value, "big")
        elif (kind, length) == (3, 3):
            found["wscale"] = value[0]
        elif (kind, length) == (4, 2):
            found["sack_permitted"] = True
        elif kind == 5 and length in (10, 18, 26, 34):
            found["sack_count"] = len(numbers) // 2
            found["sack"] = (numbers + [0] * 8)[:8]
        elif (kind, length) == (8, 10):
            found["tsval"], found["tsecr"] = numbers
        at += length


def agrees(packets: Packets, row: int, found: dict[str, Any] | None) -> None:
    if found is None:
        assert packets.l4_offset[row] == -1 or packets.proto[row] != 6
        return
    assert packets.is_tcp[row]
    assert {name: getattr(packets, name)[row].tolist() for name in found} == found


options = st.lists(
    st.one_of(
        st.just(b"\x01"),
        st.builds(frames.option_mss, st.integers(0, 65535)),
        st.builds(frames.option_wscale, st.integers(0, 14)),
        st.just(frames.option_sack_permitted()),
        st.builds(frames.option_sack, *[st.integers(0, 2**32 - 1)] * 2),
        st.builds(frames.option_timestamps, *[st.integers(0, 2**32 - 1)] * 2),
        st.binary(min_size=2, max_size=6),
    ),
    max_size=6,
).map(lambda parts: b"".join(parts)[:40])

segments = st.builds(
    frames.segment,
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=30),
    window=st.integers(0, 65535),
    options=options,
)


@given(st.lists(segments, min_size=1, max_size=8))
def test_segments_are_read_as_a_simple_parser_reads_them(given: list[bytes]) -> None:
    packets = read(given)
    for row, frame in enumerate(given):
        agrees(packets, row, simple_tcp(frame))


@given(st.lists(st.tuples(segments, st.integers(0, 80), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_frames_are_read_as_a_simple_parser_reads_them(given: list[tuple[bytes, int, int]]) -> None:
    mutated = [frame[: at % len(frame)] + bytes([value]) + frame[at % len(frame) + 1 :] for frame, at, value in given]
    packets = read(mutated)
    for row, frame in enumerate(mutated):
        if frame[12:14] == b"\x08\x00":
            agrees(packets, row, simple_tcp(frame))
    everything(packets)


def linux_hello(mss: int = 1460, tsval: int = 2**32 - 1, tsecr: int = 7, shift: int = 14) -> bytes:
    pair = frames.option_sack_permitted() + frames.option_timestamps(tsval, tsecr)
    return frames.option_mss(mss) + pair + b"\x01" + frames.option_wscale(shift)


@pytest.mark.parametrize(("at", "value"), sparse(range(20), [0, 1, 3, 255], every=2))
def test_the_usual_options_of_a_syn_and_what_is_nearly_so(at: int, value: int) -> None:
    usual = linux_hello(mss=at * 3000, tsval=value << 24 | at)
    given = [usual, usual[:at] + bytes([value]) + usual[at + 1 :], usual + b"\x01" * 4, usual[:-4]]
    made = [frames.segment(1, 2, "S", options=options) for options in given]
    for row, frame in enumerate(made):
        agrees(read(made), row, simple_tcp(frame))


@given(segments, st.integers(0, 120))
def test_a_cut_frame_shows_what_was_kept_and_nothing_else(frame: bytes, snaplen: int) -> None:
    packets = read([frame], snaplen=snaplen)
    assert packets.cut[0] == (snaplen < len(frame))
    assert packets.malformed[0] in (Malformed.NO, Malformed.OPTIONS)
    assert packets.wirelen[0] == len(frame)
    whole = read([frame])
    if packets.l4_offset[0] >= 0:
        assert packets.seq[0] == whole.seq[0]
        assert packets.payload_len[0] == whole.payload_len[0]
        assert whole.payload(0).startswith(packets.payload(0))
    everything(packets)


@given(st.lists(st.binary(max_size=120), max_size=10), st.sampled_from([0, 1, 101, 108, 113, 276, 12, 99]))
def test_arbitrary_frames_have_a_defined_result(given: list[bytes], linktype: int) -> None:
    everything(read(given, linktype=linktype))


HEADS = [
    b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(8) + b"\xff\xff\x00\x00\x01\x00\x00\x00",
    b"\xa1\xb2\x3c\x4d\x00\x02\x00\x04" + bytes(8) + b"\x00\x00\xff\xff\x00\x00\x00\x65",
    b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00\x00\x00" + b"\xff" * 8 + b"\x1c\x00\x00\x00"
    b"\x01\x00\x00\x00\x14\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00",
]


@given(st.sampled_from([b"", *HEADS]), st.binary(max_size=300))
def test_arbitrary_files_have_a_defined_result(head: bytes, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        path.write_bytes(head + tail)
        try:
            everything(pcap.read(path))
        except HarnessFault:
            assert not head


def everything(packets: Packets) -> None:
    """Touch all that is lazy, and hold the columns to their shapes and bounds."""
    count = len(packets)
    for field in fields(packets):
        column = getattr(packets, field.name)
        if isinstance(column, np.ndarray) and field.name != "data":
            assert len(column) == count, field.name
    assert len(packets.ip_checksum) == len(packets.l4_checksum) == count
    end = packets.offset + packets.caplen
    assert (end <= len(packets.data)).all()
    for column in (packets.l3_offset, packets.l4_offset):
        assert ((column == -1) | ((column >= packets.offset) & (column < end))).all()
    assert (packets.payload_len >= 0).all()
    for row in range(count):
        assert len(packets.payload(row)) <= packets.payload_len[row]


def test_both_families_side_by_side() -> None:
    packets = read(
        [
            frames.segment(1, 2, "S", 3, src=V6[0], dst=V6[1], ttl=9),
            frames.ethernet(
                frames.ipv6(bytes([6, 0, 1, 4, 0, 0, 0, 0]) + frames.tcp(4, 5, "S", src=V6[0], dst=V6[1]), proto=0)
            ),
            frames.ethernet(frames.ipv4(frames.udp(53, 54, b"abc"), proto=17, ident=77)),
            frames.ethernet(frames.ipv4(frames.icmp(payload=b"ping"), proto=1)),
            frames.arp(),
        ]
    )
    assert packets.family.tolist() == [6, 6, 4, 4, 0]
    assert packets.proto.tolist() == [6, 6, 17, 1, 0]
    assert (packets.src(0), packets.dst(0)) == (ip_address(V6[0]), ip_address(V6[1]))
    assert packets.src(2) == ip_address(V4[0])
    assert packets.sport.tolist() == [1, 4, 53, 0, 0]
    assert packets.ttl[0] == 9
    assert packets.ip_id[2] == 77
    assert [packets.payload(row) for row in range(5)] == [b"", b"", b"abc", b"ping", b""]
    assert packets.malformed.tolist() == [0] * 5


def test_fragments_show_ports_only_in_the_first() -> None:
    whole = frames.udp(53, 54, bytes(64))
    packets = read(
        [
            frames.ethernet(frames.ipv4(whole[:32], proto=17, fragment=0x2000)),
            frames.ethernet(frames.ipv4(whole[32:], proto=17, fragment=4)),
            frames.ethernet(frames.ipv6(bytes([17, 0, 0, 1, 0, 0, 0, 9]) + whole[:32], proto=44)),
            frames.ethernet(frames.ipv6(bytes([17, 0, 0, 32, 0, 0, 0, 9]) + whole[32:], proto=44)),
        ]
    )
    assert packets.fragment.all()
    assert packets.sport.tolist() == [53, 0, 53, 0]
    assert packets.proto.tolist() == [17] * 4
    assert packets.malformed.tolist() == [0] * 4


def test_a_superframe_without_ip_length_is_as_long_as_the_frame() -> None:
    frame = bytearray(frames.segment(1, 2, "PA", payload=b"x" * 100))
    frame[16:18] = b"\0\0"
    assert read([bytes(frame)]).payload_len.tolist() == [100]


def test_taking_rows_keeps_frame_numbers() -> None:
    packets = read([frames.segment(n, 2, "S") for n in range(4)])
    some = packets.take(packets.sport >= 2)
    assert some.frame.tolist() == [3, 4]
    assert some.l4_checksum.tolist() == [1, 1]
