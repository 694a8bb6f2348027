"""The handshake's part of the translation: the stamp in the SYN, and what SYN-ACKs acknowledge."""

from __future__ import annotations

import numpy as np

from hopscope.checks.evidence import of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.view import Bools, Ints, placed
from hopscope.wire.packets import ACK, SYN
from hopscope.wire.seq import add
from hopscope.wire.taps import Position
from hopscope.wire.trace import Placement, Trace

WAN = (Position.CLIENTNIC_WAN, Position.SERVERNIC_WAN)


def judge(trace: Trace, flows: Bools, faults: Faults) -> None:
    """Stamps of the SYNs and acknowledgements of the SYN-ACKs of these flows, at every tap."""
    stamped = placed(trace, Placement.STAMP)
    wanted = np.where(trace.spoofed_isn >= 0, trace.spoofed_isn, trace.stamp)
    for position, tap in trace.taps.items():
        packets, flow_of = tap.packets, trace.flow_of[position]
        mine = (flow_of >= 0) & flows[flow_of]
        up = trace.to_server[position]
        syn = np.flatnonzero(mine & up & ((packets.flags & (SYN | ACK)) == SYN))
        field = packets.ack[syn].astype(np.int64)
        on_wan = position in WAN
        should = np.where(stamped[flow_of[syn]] & on_wan, wanted[flow_of[syn]], 0)
        judged = (position > Position.SERVERNIC_WAN) | (stamped[flow_of[syn]] & on_wan)
        wrong = syn[judged & (field != should)]
        kind = "SYN without its stamp" if on_wan else "stamp leaked to the server"
        faults.add(kind, flow_of[wrong])
        for row in wrong.tolist():
            flow = int(flow_of[row])
            expected = (
                f"stamp {int(wanted[flow])} in the SYN's ack field" if on_wan else "ack field 0: the stamp is zeroed"
            )
            faults.show(of_rows(trace, position, [row], expected=expected, seen=f"ack field {int(packets.ack[row])}"))
        answers = np.flatnonzero(mine & ~up & ((packets.flags & (SYN | ACK)) == SYN | ACK))
        answers = answers[trace.client_isn[flow_of[answers]] >= 0]
        right = add(trace.client_isn[flow_of[answers]], 1)
        off = packets.ack[answers] != right
        faults.add("SYN-ACK that acknowledges something else", flow_of[answers[off]])
        for row, number in zip(answers[off].tolist(), right[off].tolist(), strict=True):
            expected = f"ack {number}, the client's ISN + 1"
            faults.show(of_rows(trace, position, [row], expected=expected, seen=f"ack {int(packets.ack[row])}"))
        stray = answers[_strange_isn(trace, packets.seq[answers].astype(np.int64), flow_of[answers])]
        faults.add("SYN-ACK of a third ISN", flow_of[stray])
        for row in stray.tolist():
            flow = int(flow_of[row])
            expected = f"ISN {int(trace.real_isn[flow])} (the server's) or {int(trace.spoofed_isn[flow])} (the box's)"
            faults.show(of_rows(trace, position, [row], expected=expected, seen=f"ISN {int(packets.seq[row])}"))
    _judge_number(trace, flows, faults)


def _judge_number(trace: Trace, flows: Bools, faults: Faults) -> None:
    """One SYN-ACK for one SYN: a box may answer a SYN that is sent again, and pass on what the server sends again."""
    here, beyond = Position.CLIENTNIC_LAN, Position.SERVERNIC_LAN
    if here not in trace.taps:
        return
    own = (trace.real_isn >= 0) & (trace.spoofed_isn != trace.real_isn)  # of other ISNs others tell
    syns, answers = _tally(trace, here, SYN), _tally(trace, here, SYN | ACK, trace.spoofed_isn)
    again = np.zeros_like(syns)
    if beyond in trace.taps:
        again = np.maximum(_tally(trace, beyond, SYN | ACK) - 1, 0)
    twice = np.flatnonzero(flows & own & (syns > 0) & (answers > syns + again))
    faults.add("SYN answered more than once", twice)
    for flow in twice.tolist():
        told = f"{int(answers[flow])} SYN-ACKs"
        rows = trace.flows[flow].synack_rows(here)
        faults.show(of_rows(trace, here, rows, flow=flow, expected=f"{int(syns[flow])}, one for each SYN", seen=told))


def _tally(trace: Trace, position: Position, kind: int, isn: Ints | None = None) -> Ints:
    """For each flow its SYNs, or its SYN-ACKs, at a tap; with ``isn`` those of the flow's number."""
    flow_of, packets = trace.flow_of[position], trace.taps[position].packets
    rows = np.flatnonzero((flow_of >= 0) & ((packets.flags & (SYN | ACK)) == kind))
    if isn is not None:
        rows = rows[packets.seq[rows] == isn[flow_of[rows]]]
    return np.bincount(flow_of[rows], minlength=len(trace.whole)).astype(np.int64)


def _strange_isn(trace: Trace, isn: Ints, flow: Ints) -> Bools:
    """ISNs that are neither R nor V, where both are known."""
    real, spoofed = trace.real_isn[flow], trace.spoofed_isn[flow]
    return np.asarray((real >= 0) & (spoofed >= 0) & (isn != real) & (isn != spoofed))
