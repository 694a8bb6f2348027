"""tshark as a second opinion on columns and checksums, over captures with everything in them."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hopscope.wire import pcap
from hopscope.wire.packets import ChecksumState, Malformed, Packets
from hopscope.wire.writer import write_pcap
from support import frames, fuzz

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

FIELDS = ("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.window_size_value", "tcp.len")
STATUS = {"0": ChecksumState.BAD, "1": ChecksumState.GOOD, "3": ChecksumState.ABSENT}


def tshark(path: Path, *names: str) -> list[list[str]]:
    argv = [
        "tshark",
        "-n",
        "-r",
        str(path),
        "-T",
        "fields",
        "-E",
        "occurrence=f",
        "-o",
        "tcp.relative_sequence_numbers:FALSE",
    ]
    argv += ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]  # frames are judged one by one
    for proto in ("tcp", "ip", "udp"):
        argv += ["-o", f"{proto}.check_checksum:TRUE"]
    for name in names:
        argv += ["-e", name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


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


SUMS = ("ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status",
        "icmpv6.checksum.status")  # fmt: skip
ILLEGAL = "4"


def explained(packets: Packets, row: int, protocols: str, sums: list[str]) -> str:
    """Why tshark and we may say different things of a frame; empty where there is no reason."""
    if packets.fragment[row]:
        return "tshark does not check parts of datagrams, and gives their segments no length"
    if packets.malformed[row] == Malformed.NETWORK:
        return "the IP length is larger than the frame: tshark goes on with what is there"
    if packets.malformed[row] == Malformed.TRANSPORT:
        return "the UDP length, or the TCP header's, is larger than its packet: tshark goes on"
    if ILLEGAL in sums:
        return "UDP over IPv6 without a checksum: bad to us"
    if "ipv6:ip:" in protocols:
        return "IPv4 within IPv6: tshark looks into the inner packet, ours is the outer one"
    if protocols.endswith(("dstopts", "hopopts")):
        return "an IPv6 option is damaged: tshark looks into it and stops there"
    return ""


@pytest.mark.parametrize("count", [1500, pytest.param(25_000, marks=pytest.mark.nightly)])
def test_fuzzed_frames_agree_with_tshark_or_it_is_explained(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.pcap"
    write_pcap(path, enumerate(fuzz.some_frames(count, random.Random(count))))
    packets = pcap.read(path)
    columns = (packets.sport, packets.dport, packets.seq, packets.ack, packets.flags, packets.window,
               packets.payload_len)  # fmt: skip
    states = STATUS | {"2": ChecksumState.UNVERIFIABLE}
    reasons: Counter[str] = Counter()
    for row, values in enumerate(tshark(path, *FIELDS, *SUMS, "frame.protocols")):
        fields, sums, protocols = values[:7], values[7:12], values[12]
        ours = [int(column[row]) for column in columns] if packets.is_tcp[row] else []
        theirs = [int(value or "-1", 0) for value in fields] if fields[0] else []
        if theirs:
            theirs[4] &= 0xFF  # tshark's flags are twelve bits, ours the eight of RFC 3168
        differ = [] if ours == theirs else [f"{ours} {theirs}"]
        for mine, told in zip(
            (packets.ip_checksum[row], packets.l4_checksum[row]), (sums[0], "".join(sums[1:])), strict=True
        ):
            if (told and states.get(told) != mine) or (not told and mine in (ChecksumState.GOOD, ChecksumState.BAD)):
                differ.append(f"{ChecksumState(mine).name}, tshark {told}")
        if differ:
            reason = explained(packets, row, protocols, sums)
            assert reason, (row + 1, protocols, differ)
            reasons[reason] += 1
    assert 0.02 < reasons.total() / count < 0.3
