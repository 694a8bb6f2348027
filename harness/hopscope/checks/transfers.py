"""Bytes sent both ways arrived, all and unchanged, and were seen on both devices of the tunnel that they crossed.

Cannot prove: throughput: bytes and hashes are compared, not times. On the devices bytes are counted; what they were is
compared on the hosts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.tunnel_health import covers
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, passed
from hopscope.wire.seq import distance
from hopscope.wire.tunnel import Capture, Side, TransferSaid, TunnelTrace


@dataclass(frozen=True)
class Transfers:
    name: str = "transfer"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if not trace.transfers:
            return inconclusive(self.name, "nothing was transferred")
        evidence: list[Evidence] = []
        blind: list[str] = []
        for said in trace.transfers:
            wrong = _wrong(said)
            if wrong:
                evidence.append(Evidence(said.name, trace.side(said.end).host, (), f"{said.asked:,} bytes", wrong))
                continue
            for side in trace.sides:
                seen = sum(_bytes(trace, side, capture, said) for capture in side.tun)
                if seen >= said.asked:
                    continue
                if not covers(side.tun, said.start_ns, said.end_ns):
                    blind.append(f"no sound capture of {side.device} on {side.host}")
                    continue
                told = f"{seen:,} of {said.asked:,} bytes on {side.device} of {side.host}: they went another way"
                evidence.append(Evidence(said.name, side.tun[0].file, (), "every byte on both devices", told))
        judged, metrics = len(trace.transfers), {"bytes": sum(said.received for said in trace.transfers)}
        if evidence:
            head = f"{evidence[0].flow}: {evidence[0].seen}"
            return failed(self.name, head, judged=judged, failed=len(evidence), evidence=evidence, metrics=metrics)
        if blind:
            return inconclusive(self.name, blind[0], judged=judged, metrics=metrics)
        total = sum(said.received for said in trace.transfers)
        return passed(self.name, f"{total:,} bytes, the same on both hosts and seen on both devices", judged=judged,
                      metrics=metrics)  # fmt: skip


def transfers() -> Transfers:
    return Transfers()


def _wrong(said: TransferSaid) -> str:
    if said.received < said.asked:
        return f"{said.received:,} of {said.asked:,} bytes arrived" + (f" ({said.error})" if said.error else "")
    if not said.same:
        return "what arrived is not what was sent: the hashes differ"
    return said.error


def _bytes(trace: TunnelTrace, side: Side, capture: Capture, said: TransferSaid) -> int:
    """Payload bytes of one way that a device saw, each counted once."""
    packets = capture.packets
    forth = side.leaving(capture) == (side.host == said.end)
    port = packets.dport if said.to_port else packets.sport
    rows = np.flatnonzero(
        forth
        & packets.is_tcp
        & (port == said.port)
        & (packets.payload_len > 0)
        & capture.between(said.start_ns, said.end_ns)
    )
    if not len(rows):
        return 0
    begin = distance(packets.seq[rows], int(packets.seq[rows[0]]))
    order = np.argsort(begin, kind="stable")
    ends = np.maximum.accumulate((begin + packets.payload_len[rows])[order])
    before = np.concatenate([[begin[order[0]]], ends[:-1]])
    return int(np.clip(ends - np.maximum(before, begin[order]), 0, None).sum())
