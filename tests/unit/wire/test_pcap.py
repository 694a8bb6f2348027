"""Both formats in all their variants, and files that are damaged or no captures."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from hopscope.errors import HarnessFault
from hopscope.wire import pcap
from hopscope.wire.packets import V4_MAPPED
from hopscope.wire.writer import frames_of, write_pcap
from support import frames

FRAME = frames.segment(40000, 8080, "S", 7, options=frames.option_mss(1460))
TIME = 1_700_000_000_123_456_789


def pcap_file(
    path: Path, *, order: str = "<", magic: int = 0xA1B23C4D, linktype: int = 1, records: bytes = b""
) -> Path:
    path.write_bytes(struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, linktype) + records)
    return path


def record(frame: bytes, order: str = "<", fraction: int = 123_456_789, *, caplen: int | None = None) -> bytes:
    kept = frame if caplen is None else frame[:caplen]
    return struct.pack(order + "IIII", 1_700_000_000, fraction, len(kept), len(frame)) + kept


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", linktype: int = 1, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", linktype, 0, 0) + options, order)


def enhanced(frame: bytes, units: int, order: str = "<", number: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "fraction", "time"), [(0xA1B23C4D, 123_456_789, TIME), (0xA1B2C3D4, 123_456, TIME - 789)]
)
def test_pcap_in_both_byte_orders_and_resolutions(
    tmp_path: Path, order: str, magic: int, fraction: int, time: int
) -> None:
    path = pcap_file(tmp_path / "a.pcap", order=order, magic=magic, records=record(FRAME, order, fraction) * 2)
    packets = pcap.read(path)
    assert packets.time.tolist() == [time, time]
    assert packets.frame.tolist() == [1, 2]
    assert packets.seq.tolist() == [7, 7]
    assert packets.mss.tolist() == [1460, 1460]
    assert not packets.truncated


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_times_follow_the_interface(tmp_path: Path, order: str) -> None:
    nano = struct.pack(order + "HHB3x", 9, 1, 9)
    binary = struct.pack(order + "HHB3x", 9, 1, 0x80 | 10)
    offset = struct.pack(order + "HHq", 14, 8, 1_700_000_000)
    content = (
        section(order) + interface(order) + interface(order, options=nano) + interface(order, options=binary + offset)
    )
    content += (
        enhanced(FRAME, TIME // 1000, order, 0) + enhanced(FRAME, TIME, order, 1) + enhanced(FRAME, 512, order, 2)
    )
    content += block(5, bytes(12), order) + block(3, struct.pack(order + "I", len(FRAME)) + FRAME, order)
    path = tmp_path / "a.pcapng"
    path.write_bytes(content)
    packets = pcap.read(path)
    half = 1_700_000_000_500_000_000
    assert packets.time.tolist() == [TIME - 789, TIME, half, half]
    assert packets.interface.tolist() == [0, 1, 2, 0]
    assert packets.seq.tolist() == [7] * 4
    assert not packets.truncated


def test_pcapng_with_a_second_section_of_the_other_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        section("<")
        + interface("<")
        + enhanced(FRAME, 1, "<")
        + section(">")
        + interface(">")
        + enhanced(FRAME, 2, ">")
    )
    packets = pcap.read(path)
    assert packets.time.tolist() == [1000, 2000]
    assert packets.interface.tolist() == [0, 1]


def test_obsolete_packet_block(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    head = struct.pack("<HHIIII", 0, 0, 0, 5, len(FRAME), len(FRAME))
    path.write_bytes(section() + interface() + block(2, head + FRAME))
    assert pcap.read(path).time.tolist() == [5000]


@pytest.mark.parametrize(
    ("linktype", "head"),
    [
        (1, frames.mac("02:00:00:00:00:02") + frames.mac("02:00:00:00:00:01") + b"\x81\x00\x00\x05\x08\x00"),
        (1, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00"),
        (101, b""),
        (12, b""),
        (228, b""),
        (113, struct.pack("!HHH", 4, 1, 6) + frames.mac("02:00:00:00:00:01") + bytes(2) + b"\x08\x00"),
        (0, struct.pack("<I", 2)),
        (0, struct.pack(">I", 2)),
        (108, struct.pack(">I", 2)),
        (276, struct.pack("!HHIHBB", 0x0800, 0, 3, 1, 4, 6) + frames.mac("02:00:00:00:00:01") + bytes(2)),
    ],
)
def test_link_layers(tmp_path: Path, linktype: int, head: bytes) -> None:
    packet = frames.ipv4(frames.tcp(1, 2, "S", 9))
    packets = pcap.read(pcap_file(tmp_path / "a.pcap", linktype=linktype, records=record(head + packet)))
    assert packets.family.tolist() == [4]
    assert packets.seq.tolist() == [9]
    assert packets.src_lo.tolist() == [V4_MAPPED | 0x0A01000A]
    if linktype in (113, 276):
        assert packets.src_mac.tolist() == [0x020000000001]
    assert packets.interface.tolist() == [3 if linktype == 276 else 0]


@pytest.mark.parametrize("number", [10, 24, 28, 30])
@pytest.mark.parametrize("order", ["<", ">"])
def test_ipv6_over_loopback_of_every_system(tmp_path: Path, order: str, number: int) -> None:
    packet = frames.ipv6(frames.tcp(1, 2, "S", 9, src="fd00::1", dst="fd00::2"))
    path = pcap_file(tmp_path / "a.pcap", linktype=0, records=record(struct.pack(order + "I", number) + packet))
    assert pcap.read(path).seq.tolist() == [9]


def test_an_unknown_link_layer_gives_rows_without_ip(tmp_path: Path) -> None:
    packets = pcap.read(pcap_file(tmp_path / "a.pcap", linktype=147, records=record(FRAME)))
    assert len(packets) == 1
    assert packets.family.tolist() == [0]


@pytest.mark.parametrize("cut", range(1, len(record(FRAME))))
def test_a_file_that_ends_in_a_record_gives_the_rows_before_it(tmp_path: Path, cut: int) -> None:
    packets = pcap.read(pcap_file(tmp_path / "a.pcap", records=record(FRAME) + record(FRAME)[:-cut]))
    assert len(packets) == 1
    assert packets.truncated


def test_a_pcapng_that_ends_in_a_block_gives_the_rows_before_it(tmp_path: Path) -> None:
    whole = section() + interface() + enhanced(FRAME, 1)
    for cut in range(1, len(enhanced(FRAME, 2))):
        path = tmp_path / "a.pcapng"
        path.write_bytes(whole + enhanced(FRAME, 2)[:-cut])
        packets = pcap.read(path)
        assert (len(packets), packets.truncated) == (1, True)


def test_an_absurd_record_length_is_damage(tmp_path: Path) -> None:
    records = record(FRAME) + struct.pack("<IIII", 0, 0, 300_000, 300_000) + bytes(300_000)
    packets = pcap.read(pcap_file(tmp_path / "a.pcap", records=records))
    assert (len(packets), packets.truncated) == (1, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"hello, world, this is no capture", "neither"),
        (b"\xd4\xc3\xb2\xa1short", "neither"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00wrong byte order magic", "neither"),
    ],
)
def test_what_is_no_capture_is_said_with_its_path(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "client-eth0.pcap"
    path.write_bytes(content)
    with pytest.raises(HarnessFault, match=says) as caught:
        pcap.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessFault, match="cannot be read"):
        pcap.read(tmp_path / "none.pcap")


def test_windows_are_the_file_in_parts(tmp_path: Path) -> None:
    write_pcap(tmp_path / "a.pcap", [(TIME + n, frames.segment(1, 2, "A", n)) for n in range(50)])
    whole = pcap.read(tmp_path / "a.pcap")
    parts = list(pcap.windows(tmp_path / "a.pcap", span=500))
    assert len(parts) > 5
    for name in ("frame", "time", "seq", "offset", "l4_checksum"):
        assert np.concatenate([getattr(part, name) for part in parts]).tolist() == getattr(whole, name).tolist()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    given = [(TIME, FRAME), (TIME + 1, frames.arp()), (TIME + 2, frames.ethernet(frames.ipv4(frames.icmp(), proto=1)))]
    write_pcap(tmp_path / "a.pcap", given)
    assert frames_of(pcap.read(tmp_path / "a.pcap")) == given


def test_the_payload_is_not_copied(tmp_path: Path) -> None:
    write_pcap(tmp_path / "a.pcap", [(TIME, frames.segment(1, 2, "PA", payload=b"hello"))])
    packets = pcap.read(tmp_path / "a.pcap")
    assert packets.payload(0) == b"hello"
    assert packets.data.base is not None
    assert not packets.data.flags.owndata
