"""IPv4, TCP, UDP and ICMP checksums of every packet at every tap.

A packet whose field holds the pseudo-header's sum alone (CHECKSUM_PARTIAL) was to be finished by hardware. On a tap
whose host is known to offload, or where nobody told, such packets are counted and not judged. Where offloads are known
to be off, they show that the setting does not hold: a failure of the environment, not of the product.

Cannot prove: that the bytes are right: one's complement sums miss swapped words (RFC 1071). What hardware was to finish
is not judged, nor are fragments and what a capture has cut short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.verdict import Evidence, Fault, Verdict, failed, inconclusive, passed
from hopscope.wire.packets import ICMP, ICMPV6, TCP, UDP, ChecksumState, Packets
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

NAMES = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMPv6"}
FIELD_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
"""Where the checksum stands in the header (RFC 9293, 768, 792, 4443)."""


@dataclass(frozen=True)
class Checksums:
    name: str = "checksums"

    def __call__(self, trace: Trace) -> Verdict:
        evidence: list[Evidence] = []
        unfinished: list[Evidence] = []
        judged = bad = partial = partial_allowed = blind = 0
        for position, tap in trace.taps.items():
            packets = tap.packets
            told_off = tap.health is not None and not tap.health.offloads
            for layer, states in (("IPv4", packets.ip_checksum), ("", packets.l4_checksum)):
                good = int(np.count_nonzero(states == ChecksumState.GOOD))
                wrong = np.flatnonzero((states == ChecksumState.BAD) | (states == ChecksumState.MALFORMED))
                half = np.flatnonzero(states == ChecksumState.PARTIAL)
                blind += int(np.count_nonzero(states == ChecksumState.UNVERIFIABLE))
                judged += good + len(wrong)
                bad += len(wrong)
                evidence += [_bad(trace, position, int(row), layer, states) for row in wrong[:5]]
                if told_off:
                    partial += len(half)
                    unfinished += [_partial(trace, position, int(row)) for row in half[:5]]
                else:
                    partial_allowed += len(half)
        metrics = {
            "judged": judged, "bad": bad, "partial": partial + partial_allowed, "unverifiable": blind,
        }  # fmt: skip
        if bad:
            return failed(
                self.name, f"{count(bad, 'bad checksum')} of {judged:,}", judged=judged, failed=bad,
                evidence=evidence, metrics=metrics,
            )  # fmt: skip
        if partial:
            return failed(
                self.name,
                f"{count(partial, 'checksum')} left to hardware (CHECKSUM_PARTIAL), yet offloads are recorded as off",
                judged=judged, failed=partial, evidence=unfinished, metrics=metrics, fault=Fault.ENVIRONMENT,
            )  # fmt: skip
        left_out = _left_out(partial_allowed, blind)
        if not judged:
            return inconclusive(self.name, f"no checksum could be verified{left_out}", metrics=metrics)
        return passed(self.name, f"{count(judged, 'checksum')} good{left_out}", judged=judged, metrics=metrics)


def checksums() -> Checksums:
    return Checksums()


def _left_out(partial: int, blind: int) -> str:
    parts = [f"{partial:,} left to hardware, not judged"] if partial else []
    parts += [f"{blind:,} not verifiable: fragment, or cut by the capture"] if blind else []
    return "; " + ", ".join(parts) if parts else ""


def _partial(trace: Trace, position: Position, row: int) -> Evidence:
    return of_rows(
        trace, position, [row], expected="a finished checksum: offloads are recorded as off",
        seen="the pseudo-header's sum alone",
    )  # fmt: skip


def _bad(trace: Trace, position: Position, row: int, layer: str, states: np.ndarray) -> Evidence:
    packets = trace.taps[position].packets
    if states[row] == ChecksumState.MALFORMED:
        return of_rows(trace, position, [row], expected="lengths that agree", seen="a malformed header")
    seen, right = _values(packets, row, layer)
    layer = layer or NAMES.get(int(packets.proto[row]), "transport")
    return of_rows(trace, position, [row], expected=f"{layer} checksum 0x{right:04x}", seen=f"0x{seen:04x}")


def _values(packets: Packets, row: int, layer: str) -> tuple[int, int]:
    """The checksum in the packet and the one it should have (RFC 1071)."""
    if layer:
        start = int(packets.l3_offset[row])
        covered = packets.data[start : start + 4 * (int(packets.data[start]) & 15)].tobytes()
        at, pseudo = 10, b""
    else:
        start, size = int(packets.l4_offset[row]), int(packets.l4_len[row])
        covered = packets.data[start : start + size].tobytes()
        proto = int(packets.proto[row])
        at, pseudo = FIELD_AT[proto], _pseudo_header(packets, row, proto, size)
    seen = int.from_bytes(covered[at : at + 2], "big")
    total = _sum(pseudo) + _sum(covered[:at] + b"\0\0" + covered[at + 2 :])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return seen, total ^ 0xFFFF


def _pseudo_header(packets: Packets, row: int, proto: int, size: int) -> bytes:
    if proto == ICMP:
        return b""
    return packets.src(row).packed + packets.dst(row).packed + size.to_bytes(4, "big") + proto.to_bytes(4, "big")


def _sum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    return int(np.frombuffer(data, dtype=">u2").sum(dtype=np.int64))
