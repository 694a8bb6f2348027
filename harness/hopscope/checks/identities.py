"""How many packets of a flow pass each tap, by who translates: a box that adds or swallows one is found by counting.

    stamp, early   the WAN leg has one less than the client's side (the box's SYN-ACK); the server's side has the real
                   SYN-ACK more than the WAN leg, and where ServerNIC completes handshakes by itself its ACK as well
    hold           as many everywhere: the real SYN-ACK goes no further than the box that answered
    all            one SYN-ACK on the client's side; none on the WAN leg but in ``hold``

They hold for flows without loss and repetition, which are the ones counted. Reported for every trace; among the
standard checks a verdict only for systems that promise them (``promises: [identities]`` in the YAML of a SUT).

Cannot prove: anything of flows with loss or repetition, which are left out: there ``passage`` and ``delivery``
judge. On the server's side one packet more in most flows is taken for the ACK of a box that completes handshakes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, keys, placed, rewritten, server_answered, unaccepted, view
from hopscope.wire.packets import ACK, FIN, SYN
from hopscope.wire.taps import HOPS, Position
from hopscope.wire.trace import Placement, Trace


@dataclass(frozen=True)
class Identities:
    claim: str | None = None
    promised: bool = False
    """Judge only a system that promises it."""
    name: str = "identities"

    def __call__(self, trace: Trace) -> Verdict:
        if self.promised and not promises(trace, self.name):
            return not_applicable(self.name, "nothing on the path promises that packets add up")
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        flows = rewritten(trace, self.claim)
        if self.claim == "plain" or not flows.any():
            return not_applicable(self.name, "no box answers for the server: nothing is added or left out")
        counted = surplus(trace)
        if not counted:
            return inconclusive(self.name, "too few taps to count at")
        judged = flows & countable(trace)
        if not judged.any():
            say = not_applicable if self.promised else inconclusive
            return say(self.name, "no flow without loss or repetition: of the others nothing is promised")
        faults = Faults(len(judged))
        for position, each in counted.items():
            self._count(trace, position, each.wanted, judged & each.known, faults)
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


def identities(claim: str | None = None, *, promised: bool = False) -> Identities:
    return Identities(claim, promised)


def promises(trace: Trace, what: str) -> bool:
    """Whether every translating system that the run put on the path was declared to keep this promise."""
    started = [event for event in trace.sut_events if event.get("event") == "sut_started"]
    own = [event for event in started if event.get("placement") not in (None, "none", "plain", "proxy")]
    said = [event.get("promises") for event in own]
    return bool(said) and all(isinstance(each, list) and what in each for each in said)


def packets(trace: Trace, position: Position) -> Ints:
    """Packets of each flow at a tap."""
    flow = trace.flow_of[position]
    return np.bincount(flow[flow >= 0], minlength=len(trace.whole)).astype(np.int64)


def answers(trace: Trace, position: Position) -> Ints:
    """SYN-ACKs of each flow at a tap."""
    tap = trace.rows[position]
    return np.bincount(tap.flow[tap.synack], minlength=len(trace.whole)).astype(np.int64)


_BY_FLOW = ("packets", "nearest", "by_server", "known")


@dataclass(frozen=True, eq=False)
class Surplus:
    """Packets of each flow at one tap, held against those at the tap nearest to the client."""

    packets: Ints
    nearest: Ints
    by_server: Bools
    """Flows whose handshake a box in front of the server completes (stamp, early)."""
    known: Bools
    """Flows of a placement that says how many there should be."""
    on_wan: bool
    behind: bool
    """The tap is on the server's side of all boxes."""

    @property
    def wanted(self) -> Ints:
        """How many packets each flow should have here; what is not ``known`` should have what it has."""
        off = -1 if self.on_wan else 0
        if self.behind and self.by_server.any():
            # A system completes handshakes in one way: that of most of its flows.
            off = int(np.median((self.packets - self.nearest)[self.by_server]) > 0)
        return np.where(self.known, self.nearest + off * self.by_server, self.packets)

    def __getitem__(self, flows: Bools) -> Surplus:
        return replace(self, **{name: getattr(self, name)[flows] for name in _BY_FLOW})

    def __len__(self) -> int:
        return len(self.packets)

    @staticmethod
    def joined(parts: Iterable[Surplus]) -> Surplus:
        """Of the same tap in several shards."""
        every = list(parts)
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in every]) for name in _BY_FLOW}
        return replace(every[0], **columns)


def surplus(trace: Trace) -> dict[Position, Surplus]:
    """By tap beyond the one nearest to the client; empty where the client's side was not captured."""
    nearest = min(trace.taps)
    if nearest > Position.CLIENTNIC_LAN:
        return {}
    seen, by_server = packets(trace, nearest), placed(trace, Placement.STAMP, Placement.EARLY)
    return {
        position: Surplus(
            packets(trace, position), seen, by_server, by_server | placed(trace, Placement.HOLD),
            Position.CLIENTNIC_WAN <= position <= Position.SERVERNIC_WAN, position >= Position.SERVERNIC_LAN,
        )
        for position in trace.taps if position > nearest
    }  # fmt: skip


def answers_wanted(trace: Trace, position: Position) -> Ints:
    """SYN-ACKs of each flow that should pass a tap."""
    on_wan = Position.CLIENTNIC_WAN <= position <= Position.SERVERNIC_WAN
    return np.where(on_wan & placed(trace, Placement.STAMP, Placement.EARLY), 0, 1)


def countable(trace: Trace) -> Bools:
    """Flows that show no loss and no repetition: no segment came twice at any tap, and what went in came out: every
    byte, on links every packet.
    """
    good = trace.whole & (trace.real_isn >= 0) & ~server_answered(trace) & ~unaccepted(trace)
    bytes_at: list[Ints] = []
    for position in trace.taps:
        seen = view(trace, position, good)
        moving = seen[(seen.length > 0) | seen.has(SYN | FIN)]
        _, first, number = np.unique(
            keys(moving.flow, moving.up, moving.seq, moving.flags & (SYN | ACK)), return_index=True, return_counts=True
        )
        good[moving.flow[first[number > 1]]] = False
        bytes_at.append(np.bincount(seen.flow, seen.length, len(good)).astype(np.int64))
    for near, far in HOPS:
        if near in trace.taps and far in trace.taps:
            good &= packets(trace, near) == packets(trace, far)
    return np.asarray(good & np.all([one == bytes_at[0] for one in bytes_at], axis=0))
