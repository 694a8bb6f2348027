"""Resets that a box made up: one that leaves it for an established flow, and had not come in on its other side."""

from __future__ import annotations

import numpy as np

from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import of_rows
from hopscope.checks.verdict import Evidence
from hopscope.checks.view import Bools
from hopscope.wire.packets import ACK, RST, SYN
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Trace


def made_up(trace: Trace, flows: Bools) -> tuple[list[Evidence], Bools, Bools]:
    """Evidence, flows that a box reset by itself, and flows where an unhealthy capture may have missed who did."""
    evidence: list[Evidence] = []
    wrong, unseen = np.zeros(len(flows), dtype=bool), np.zeros(len(flows), dtype=bool)
    mine = flows & established(trace)
    for box, (near, far) in BOXES.items():
        if near not in trace.taps or far not in trace.taps:
            continue
        for up in (True, False):
            source, target = (near, far) if up else (far, near)
            came, left = (
                trace.first_rows(
                    place,
                    (trace.flow_of[place] >= 0)
                    & (trace.to_server[place] == up)
                    & ((trace.taps[place].packets.flags & RST) != 0),
                )
                for place in (source, target)
            )
            # Both sides of a box are stamped by one clock: a reset that comes in later is the answer to something else.
            times_in, times_out = trace.taps[source].packets.time, trace.taps[target].packets.time
            first = came < 0
            if len(times_in) and len(times_out):
                first |= times_out[np.maximum(left, 0)] < times_in[np.maximum(came, 0)]
            bad = mine & (left >= 0) & first
            target_of = unseen if complaints(trace, source) else wrong
            target_of |= bad
            end = "server" if up else "client"
            evidence += [
                of_rows(
                    trace, target, [left[flow]], flow=int(flow),
                    expected=f"no RST to the {end} that did not enter {box}", seen=f"reset by {box}",
                )
                for flow in np.flatnonzero(bad)[:5]
            ]  # fmt: skip
    return evidence, wrong, unseen & ~wrong


def established(trace: Trace) -> Bools:
    """Flows whose handshake the server's side saw completed, or whose payload arrived at both ends."""
    client, server = min(trace.taps), max(trace.taps)

    def seen(position: Position, up: bool, mask: int, flags: int, *, payload: bool = False) -> Bools:
        packets = trace.taps[position].packets
        rows = (trace.flow_of[position] >= 0) & (trace.to_server[position] == up)
        rows &= (packets.flags & mask) == flags
        if payload:
            rows &= packets.payload_len > 0
        return np.asarray(trace.first_rows(position, rows) >= 0)

    answered = seen(server, False, SYN | ACK, SYN | ACK)
    acknowledged = seen(server, True, SYN | ACK | RST, ACK)
    both = seen(server, True, RST, 0, payload=True) & seen(client, False, RST, 0, payload=True)
    return np.asarray(answered & acknowledged | both)
