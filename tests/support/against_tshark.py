"""Every packet of a capture as tshark reads it, held against our columns; what differs has to be explained."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from hopscope.wire import pcap
from hopscope.wire.packets import ChecksumState, Malformed, Packets

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


SUMS = ("ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status",
        "icmpv6.checksum.status")  # fmt: skip
ILLEGAL = "4"
PARTIAL = "hardware was to finish the checksum (CHECKSUM_PARTIAL): partial to us, bad to tshark"


def explained(packets: Packets, row: int, protocols: str, sums: list[str]) -> str:
    """Why tshark and we may say different things of a frame; empty where there is no reason."""
    if packets.fragment[row]:
        return "tshark does not check parts of datagrams, and gives their segments no length"
    if packets.l4_checksum[row] == ChecksumState.PARTIAL and {"0", "1"} & set(sums[1:]):
        return PARTIAL
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


def reasons(path: Path) -> Counter[str]:
    """Why tshark and we say different things of a capture's frames, each reason as often as it is needed.

    Raises AssertionError with frame, protocols and both views where there is none.
    """
    packets = pcap.read(path)
    columns = (packets.sport, packets.dport, packets.seq, packets.ack, packets.flags, packets.window,
               packets.payload_len)  # fmt: skip
    states = STATUS | {"2": ChecksumState.UNVERIFIABLE}
    found: Counter[str] = Counter()
    read = tshark(path, *FIELDS, *SUMS, "frame.protocols")
    assert len(read) == len(packets)
    for row, values in enumerate(read):
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
            assert reason, (path.name, row + 1, protocols, differ)
            found[reason] += 1
    return found
