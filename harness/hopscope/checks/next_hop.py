"""Does every frame that leaves a port carry the address of the port at the other end of its hop?

A rewriter that sends on layer 2 keeps the addresses of the frame it received: the next hop drops it in silence, and
only the captures show why. The addresses of ports come from the side-car, or are learnt: from ARP, from what a port
sends, from what is sent to it.

Cannot prove: anything of ports whose address no side-car tells and no frame shows; nor of hops with a router within,
which rewrites addresses. An address that flows alone tell is wrong where a port has sent from a wrong one all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, mac_text, of_rows
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints
from hopscope.wire.packets import SYN
from hopscope.wire.taps import BOXES, HOPS, Position
from hopscope.wire.trace import Trace

MULTICAST = 1 << 40
"""The group bit of an address."""


@dataclass(frozen=True)
class NextHop:
    name: str = "next_hop"

    def __call__(self, trace: Trace) -> Verdict:
        judged = wrong = 0
        evidence: list[Evidence] = []
        hops, routed = [], []
        bare = True
        for hop in HOPS:
            if not all(end in trace.taps for end in hop):
                continue
            rows = {end: np.flatnonzero(trace.flow_of[end] >= 0) for end in hop}
            if not any((trace.taps[end].packets.src_mac[rows[end]] != 0).any() for end in hop):
                continue
            bare = False
            macs = {end: _mac(trace, hop, end) for end in hop}
            if _is_routed(trace, hop):
                routed.append(_called(trace, hop))
                continue
            if 0 in macs.values():
                continue
            hops.append(_called(trace, hop))
            for end in hop:
                bad = _wrong(trace, hop, end, rows[end], macs)
                judged += len(rows[end])
                wrong += len(bad)
                evidence += [_evidence(trace, hop, end, row, macs) for row in bad[:5].tolist()]
        if wrong:
            places = ", ".join(dict.fromkeys(item.seen.rpartition(" on ")[2] for item in evidence))
            return failed(
                self.name, f"{count(wrong, 'frame')} of {judged:,} to or from a wrong address: {places}", judged=judged,
                failed=wrong, evidence=evidence,
            )  # fmt: skip
        if not judged:
            if routed:
                return not_applicable(self.name, f"a router rewrites the addresses within {', '.join(routed)}")
            if bare and any(len(tap.packets) for tap in trace.taps.values()):
                return not_applicable(self.name, "no hop with link-layer addresses on both of its ends")
            return inconclusive(self.name, "no frame whose next hop is known")
        return passed(self.name, f"{count(judged, 'frame')} on {', '.join(hops)}", judged=judged)


def next_hop() -> NextHop:
    return NextHop()


def _wrong(trace: Trace, hop: tuple[Position, Position], end: Position, rows: Ints, macs: dict[Position, int]) -> Ints:
    """Rows at one end of a hop whose addresses are not those of the hop's two ports, in the direction they go."""
    packets = trace.taps[end].packets
    near, far = macs[hop[0]], macs[hop[1]]
    up = trace.to_server[end][rows]
    source, target = np.where(up, near, far), np.where(up, far, near)
    wrong: Ints = rows[(packets.src_mac[rows] != source) | (packets.dst_mac[rows] != target)]
    return wrong


def _evidence(
    trace: Trace, hop: tuple[Position, Position], end: Position, row: int, macs: dict[Position, int]
) -> Evidence:
    packets = trace.taps[end].packets
    up = bool(trace.to_server[end][row])
    source, target = hop if up else hop[::-1]
    seen = int(packets.src_mac[row]), int(packets.dst_mac[row])
    kept = ""
    behind = next((sides[0 if up else 1] for sides in BOXES.values() if sides[1 if up else 0] == source), None)
    if behind is not None and behind in trace.taps:
        flow, other = int(trace.flow_of[end][row]), trace.taps[behind].packets
        before = np.flatnonzero((trace.flow_of[behind] == flow) & (trace.to_server[behind] == up))
        if np.any((other.src_mac[before] == seen[0]) & (other.dst_mac[before] == seen[1])):
            kept = ", the addresses of the frame that the box received,"
    return of_rows(
        trace, end, [row], expected=f"{mac_text(macs[source])} > {mac_text(macs[target])}",
        seen=f"{mac_text(seen[0])} > {mac_text(seen[1])}{kept} on {_called(trace, hop)}",
    )  # fmt: skip


def _is_routed(trace: Trace, hop: tuple[Position, Position]) -> bool:
    """A hop whose frames change their addresses between its two taps is no link: something routes in between."""
    pairs: dict[Position, np.ndarray] = {}
    firsts = {}
    for end in hop:
        packets, up = trace.taps[end].packets, trace.to_server[end]
        firsts[end] = trace.first_rows(end, up & ((packets.flags & SYN) != 0))
    both = (firsts[hop[0]] >= 0) & (firsts[hop[1]] >= 0)
    if not both.any():
        return False
    for end in hop:
        packets, rows = trace.taps[end].packets, firsts[end][both]
        pairs[end] = np.stack((packets.src_mac[rows], packets.dst_mac[rows]))
    same: Bools = (pairs[hop[0]] == pairs[hop[1]]).all(axis=0)
    return bool(np.count_nonzero(same) * 2 < len(same)) and any(trace.taps[end].mac is None for end in hop)


def _mac(trace: Trace, hop: tuple[Position, Position], end: Position) -> int:
    """The address of a port: as told, or learnt from the frames of both taps of its hop. 0 when nothing tells."""
    told = trace.taps[end].mac
    if told is not None:
        return told
    speakers = _arp_speakers(trace, hop)
    goes_up = end == hop[0]  # frames that this port sends go up when it is the client's end of the hop
    votes: dict[int, int] = {}
    for place in hop:
        packets, known = trace.taps[place].packets, trace.flow_of[place] >= 0
        own = known & (trace.to_server[place] == goes_up)
        to_it = known & (trace.to_server[place] != goes_up)
        for column, rows, weight in ((packets.src_mac, own, 2), (packets.dst_mac, to_it, 1)):
            for address, number in zip(*np.unique(column[rows], return_counts=True), strict=True):
                votes[int(address)] = votes.get(int(address), 0) + weight * int(number)
    votes.pop(0, None)
    if len(speakers) == 2:
        votes = {address: number for address, number in votes.items() if address in speakers}
    return max(votes, key=lambda address: votes[address], default=0)


def _arp_speakers(trace: Trace, hop: tuple[Position, Position]) -> set[int]:
    """Source addresses of what is neither IPv4 nor IPv6 on this hop: ARP, sent by the two ports themselves."""
    found: set[int] = set()
    for end in hop:
        packets = trace.taps[end].packets
        quiet = (packets.family == 0) & (packets.src_mac != 0) & ((packets.src_mac & np.uint64(MULTICAST)) == 0)
        found |= {int(address) for address in np.unique(packets.src_mac[quiet])}
    return found


def _called(trace: Trace, hop: tuple[Position, Position]) -> str:
    return f"{trace.taps[hop[0]].name}--{trace.taps[hop[1]].name}"
