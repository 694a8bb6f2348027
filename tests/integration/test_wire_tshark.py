"""tshark as a second opinion on columns and checksums, over captures with everything in them."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from hopscope import data
from hopscope.capture.session import CaptureSession
from hopscope.providers.netns import NetnsProvider
from hopscope.traffic.traffic import Traffic
from hopscope.wire import pcap
from hopscope.wire.writer import write_pcap
from support import frames, fuzz
from support.against_tshark import FIELDS, PARTIAL, STATUS, reasons, tshark

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]


def some_frames(count: int, rng: random.Random) -> list[bytes]:
    out = []
    for _ in range(count):
        payload = rng.randbytes(rng.randrange(0, 80))
        options = frames.option_timestamps(rng.getrandbits(32), rng.getrandbits(32)) if rng.random() < 0.5 else b""
        v6 = {"src": "fd00::1", "dst": "fd00::2"} if rng.random() < 0.3 else {}
        kind = rng.randrange(4)
        if kind < 2:
            flags = rng.choice(["S", "SA", "A", "PA", "FA", "R", "RA", "SEC"])
            numbers = rng.getrandbits(32), rng.getrandbits(32)
            more = {"options": options, "window": rng.getrandbits(16), **v6}
            frame = frames.segment(rng.randrange(1, 65536), 8080, flags, *numbers, payload, **more)
        elif kind == 2:
            inner = frames.udp(40000, rng.randrange(20000, 30000), payload, zero=not v6 and rng.random() < 0.3, **v6)
            frame = frames.ethernet(frames.ipv6(inner, proto=17, **v6) if v6 else frames.ipv4(inner, proto=17))
        else:
            frame = frames.ethernet(frames.ipv4(frames.icmp(payload=payload), proto=1), vlan=7)
        if rng.random() < 0.3:
            at = rng.randrange(len(frame) - 1, len(frame)) if len(frame) > 60 else 14 + 8
            frame = frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]
        out.append(frame)
    return out


def test_columns_and_checksums_agree_with_tshark(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, enumerate(some_frames(2000, random.Random(7))))
    packets = pcap.read(path)
    theirs = tshark(path, *FIELDS)
    assert len(theirs) == len(packets) == 2000
    tcp = packets.is_tcp
    columns = (
        packets.sport,
        packets.dport,
        packets.seq,
        packets.ack,
        packets.flags,
        packets.window,
        packets.payload_len,
    )
    for row, values in enumerate(theirs):
        if tcp[row]:
            assert [int(value, 0) for value in values] == [int(column[row]) for column in columns]
        else:
            assert set(values) == {""}

    names = ("ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status")
    seen = set()
    for row, (ip, *l4) in enumerate(tshark(path, *names)):
        if ip:
            assert packets.ip_checksum[row] == STATUS[ip], packets.frame[row]
        status = next((value for value in l4 if value), None)
        if status is not None:
            seen.add(status)
            assert packets.l4_checksum[row] == STATUS[status], packets.frame[row]
    assert seen == set(STATUS)


@pytest.mark.parametrize("count", [1500, pytest.param(25_000, marks=pytest.mark.nightly)])
def test_fuzzed_frames_agree_with_tshark_or_it_is_explained(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, enumerate(fuzz.some_frames(count, random.Random(count))))
    assert 0.02 < reasons(path).total() / count < 0.3


@pytest.mark.parametrize("offloads", [False, True], ids=["offloads-off", "offloads-on"])
def test_real_captures_of_a_lab_agree_with_tshark_packet_by_packet(tmp_path: Path, offloads: bool) -> None:
    topology = data.topology("chain-lan")
    with NetnsProvider().acquire(topology, directory=tmp_path, offloads=offloads) as lab:
        with Traffic(lab, tmp_path) as traffic, CaptureSession(lab, tmp_path / "capture") as session:
            assert traffic.connections(15, 200, request=5000, response=40_000).completed == 15
            assert traffic.connections(5, 100, close="rst").completed == 5
            lab.hosts["client"].run(["ping", "-c", "3", "-i", "0.01", "-s", "1400", "10.1.2.10"], timeout=10)
        files = [each.file for each in session.reports]
    found = sum((reasons(file) for file in files), Counter())
    assert set(found) == ({PARTIAL} if offloads else set())
    largest = max(int(pcap.read(file).payload_len.max()) for file in files)
    assert (largest > 1500) == offloads, "segments are merged where offloads are on, and only there"
