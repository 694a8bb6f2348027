"""The transport of a tunnel: segments both ways, seen on both underlays, and nobody ended the connection unasked.

What the harness did itself (a link cut, a daemon restarted) is told in the trace, and excuses what falls into its span.

Cannot prove: that the connection was the one that ought to have been: no certificate is looked at. Of UDP
only that something went each way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, passed
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.tunnel import Capture, Side, TunnelTrace

_ENDS = ((RST, "reset (RST)"), (FIN, "ended (FIN)"))


@dataclass(frozen=True)
class TransportCheck:
    name: str = "transport"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if any(not side.underlay for side in trace.sides):
            return inconclusive(self.name, "there are not captures of both underlays")
        seen = {
            (side.host, capture.file): len(trace.carrying(capture, side))
            for side in trace.sides
            for capture in _taps(trace)
        }
        rows = sum(seen.values())
        evidence = _ended(trace) if trace.transport.protocol == "tcp" else []
        if not rows:
            return inconclusive(self.name, f"nothing on {trace.transport.protocol} port {trace.transport.port}")
        evidence += [
            Evidence(
                None, file, (), f"what {host} sends by {trace.transport.protocol} port {trace.transport.port}",
                f"nothing that {host} sends on this underlay",
            )
            for (host, file), number in seen.items() if not number
        ]  # fmt: skip
        evidence += [each for capture in _taps(trace) for each in _refused(trace, capture)]
        if evidence:
            return failed(
                self.name,
                f"{evidence[0].seen} ({evidence[0].tap})",
                judged=rows,
                failed=len(evidence),
                evidence=evidence,
            )
        return passed(self.name, f"{count(rows, 'segment')}, both ways on both underlays, none ended it", judged=rows)


def transport() -> TransportCheck:
    return TransportCheck()


def _taps(trace: TunnelTrace) -> tuple[Capture, ...]:
    return tuple(side.underlay[0] for side in trace.sides)


def _ended(trace: TunnelTrace) -> list[Evidence]:
    """RST and FIN outside of the spans in which the harness interrupted the tunnel."""
    found = []
    for side in trace.sides:
        capture = side.underlay[0]
        packets = capture.packets
        rows = trace.carrying(capture, side)
        for flag, word in _ENDS:
            for row in rows[(packets.flags[rows] & flag) != 0].tolist():
                if not _excused(trace, int(packets.time[row])):
                    found.append(_evidence(capture, row, f"{side.host} {word} it"))
    return found


def _refused(trace: TunnelTrace, capture: Capture) -> list[Evidence]:
    """SYNs that nobody answered with a SYN-ACK, where the harness did not interrupt."""
    if trace.transport.protocol != "tcp":
        return []
    server: Side = trace.side(trace.transport.server)
    packets = capture.packets
    asked = trace.carrying(capture, trace.other(server.host))
    answered = trace.carrying(capture, server)
    handshake = (packets.flags[answered] & (SYN | ACK)) == SYN | ACK
    ports = np.unique(packets.dport[answered[handshake]])
    syns = asked[(packets.flags[asked] & (SYN | ACK)) == SYN]
    lone = syns[~np.isin(packets.sport[syns], ports)]
    return [
        _evidence(capture, int(row), f"a SYN that {server.host} did not answer")
        for row in lone if not _excused(trace, int(packets.time[row]))
    ][:1]  # fmt: skip


def _excused(trace: TunnelTrace, time_ns: int) -> bool:
    return any(each.start_ns <= time_ns <= each.end_ns for each in trace.interruptions)


def _evidence(capture: Capture, row: int, seen: str) -> Evidence:
    packets = capture.packets
    ports = f"{packets.sport[row]}-{packets.dport[row]}"
    shown = f"tcp.port=={packets.sport[row]} && tcp.port=={packets.dport[row]}"
    return Evidence(ports, capture.file, (int(packets.frame[row]),), "a connection that stays", seen, shown)
