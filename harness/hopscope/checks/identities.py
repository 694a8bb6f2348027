"""How many packets of a flow pass each tap, by who translates: a box that adds or swallows one is found by counting.

    stamp, early   the WAN leg has one less than the client's side (the box's SYN-ACK); the server's side has the real
                   SYN-ACK more than the WAN leg, and where ServerNIC completes handshakes by itself its ACK as well
    hold           as many everywhere: the real SYN-ACK goes no further than the box that answered
    all            one SYN-ACK on the client's side; none on the WAN leg but in ``hold``

They hold for flows without loss and repetition, which are the ones counted. Reported for every trace; a verdict only
for systems that promise them: the standard checks leave this one out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, keys, placed, rewritten, server_answered, unaccepted, view
from hopscope.wire.packets import ACK, SYN
from hopscope.wire.taps import Position
from hopscope.wire.trace import Placement, Trace


@dataclass(frozen=True)
class Identities:
    claim: str | None = None
    name: str = "identities"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        flows = rewritten(trace, self.claim)
        if self.claim == "plain" or not flows.any():
            return not_applicable(self.name, "no box answers for the server: nothing is added or left out")
        judged = flows & countable(trace)
        if not judged.any():
            return inconclusive(self.name, "no flow without loss or repetition, or too few taps to count")
        faults = Faults(len(judged))
        for position, expected in wanted(trace).items():
            self._count(trace, position, expected, judged & (expected >= 0), faults)
        number, bad = int(np.count_nonzero(judged)), int(np.count_nonzero(faults.flows))
        if bad:
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} with packets too many or too few: {kinds}",
                judged=number, failed=bad, evidence=faults.evidence, metrics=faults.counts,
            )  # fmt: skip
        return passed(self.name, f"packets of {count(number, 'flow')} add up at every tap", judged=number)

    def _count(self, trace: Trace, position: Position, expected: Ints, judged: Bools, faults: Faults) -> None:
        for kind, should, seen in (
            ("packets", expected, packets(trace, position)),
            ("SYN-ACKs", answers_wanted(trace, position), answers(trace, position)),
        ):
            wrong = np.flatnonzero(judged & (seen != should))
            faults.add(f"{kind} at {trace.taps[position].name}", wrong)
            for flow in wrong.tolist():
                if faults.full:
                    return
                rows = trace.flows[flow].rows(position)
                rows = rows if kind == "packets" else trace.flows[flow].synack_rows(position)
                told = f"{int(should[flow])} {kind}", f"{int(seen[flow])}"
                faults.show(of_rows(trace, position, rows[:20], flow=flow, expected=told[0], seen=told[1]))


def identities(claim: str | None = None) -> Identities:
    return Identities(claim)


def packets(trace: Trace, position: Position) -> Ints:
    """Packets of each flow at a tap."""
    flow = trace.flow_of[position]
    return np.bincount(flow[flow >= 0], minlength=len(trace.whole)).astype(np.int64)


def answers(trace: Trace, position: Position) -> Ints:
    """SYN-ACKs of each flow at a tap."""
    tap = trace.rows[position]
    return np.bincount(tap.flow[tap.synack], minlength=len(trace.whole)).astype(np.int64)


def wanted(trace: Trace) -> dict[Position, Ints]:
    """By tap, how many packets each flow should have there, from what the client's end saw; -1 not known."""
    nearest = min(trace.taps)
    if nearest > Position.CLIENTNIC_LAN:
        return {}
    seen = packets(trace, nearest)
    by_server = placed(trace, Placement.STAMP, Placement.EARLY)
    known = by_server | placed(trace, Placement.HOLD)
    found = {}
    for position in trace.taps:
        off = 0
        if Position.CLIENTNIC_WAN <= position <= Position.SERVERNIC_WAN:
            off = -1
        elif position >= Position.SERVERNIC_LAN and by_server.any():
            # A system completes handshakes in one way: that of most of its flows.
            off = int(np.median((packets(trace, position) - seen)[by_server]) > 0)
        found[position] = np.where(known, seen + off * by_server, -1)
    return found


def answers_wanted(trace: Trace, position: Position) -> Ints:
    """SYN-ACKs of each flow that should pass a tap."""
    on_wan = Position.CLIENTNIC_WAN <= position <= Position.SERVERNIC_WAN
    return np.where(on_wan & placed(trace, Placement.STAMP, Placement.EARLY), 0, 1)


def countable(trace: Trace) -> Bools:
    """Flows that show no loss and no repetition: no segment came twice at any tap, and what went in came out."""
    good = trace.whole & (trace.real_isn >= 0) & ~server_answered(trace) & ~unaccepted(trace)
    bytes_at: list[Ints] = []
    for position in trace.taps:
        seen = view(trace, position, good)
        moving = seen[(seen.length > 0) | seen.has(SYN)]
        _, first, number = np.unique(
            keys(moving.flow, moving.up, moving.seq, moving.flags & (SYN | ACK)), return_index=True, return_counts=True
        )
        good[moving.flow[first[number > 1]]] = False
        bytes_at.append(np.bincount(seen.flow, seen.length, len(good)).astype(np.int64))
    return np.asarray(good & np.all([one == bytes_at[0] for one in bytes_at], axis=0))
