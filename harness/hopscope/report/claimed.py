"""What the system under test says that it did, beside what the captures show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hopscope.checks.claims import ends_of, left_port, port_of, totals_of
from hopscope.wire.trace import Flow, Trace

HEAD = ("box", "claim", "claimed", "seen on the wire", "agrees")
SHOWN = 50
"""Segments of one flow that are looked up."""

Line = tuple[str, str, str, str, str]


def claimed(trace: Trace, flow: int | None = None) -> list[Line]:
    """A line for each counter of each box, then for what was said of one flow; empty where no box says anything."""
    lines = list(_counters(trace))
    if flow is not None:
        lines += _of_flow(trace, trace.flows[flow])
    return lines


def _counters(trace: Trace) -> Iterator[Line]:
    for host, counts in totals_of(trace.sut_events).items():
        for name, number in counts.items():
            position = port_of(trace, {"host": host}, "server" if name == "sent_server" else "client")
            what = "SYN-ACKs" if name == "syn_answered" else "frames"
            if position is None or trace.taps[position].mac is None:
                yield host, name, f"{number:,} {what}", "no capture of that port", ""
                continue
            seen = int(np.count_nonzero(left_port(trace, position, answers=name == "syn_answered")))
            where = f"{seen:,} out of {trace.taps[position].name}"
            yield host, name, f"{number:,} {what}", where, _agrees(seen >= number)


def _of_flow(trace: Trace, flow: Flow) -> Iterator[Line]:
    mine = {(flow.client, flow.server), (flow.server, flow.client)}
    shown = 0
    for event in trace.sut_events:
        ends = ends_of(event.get("flow"))
        if ends not in mine or shown >= SHOWN:
            continue
        box = str(event.get("host") or event.get("role") or "?")
        if event.get("event") == "syn_answered":
            took = "no SYN-ACK" if flow.answered_isn is None else f"ISN {flow.answered_isn}"
            agrees = _agrees(flow.answered_isn == event.get("isn"))
            yield box, f"{flow.label} answered", f"ISN {event.get('isn')}", f"the client took {took}", agrees
        elif event.get("event") == "sent" and "seq" in event:
            position = port_of(trace, event, str(event.get("side")))
            if position is None:
                continue
            packets = trace.taps[position].packets
            towards = ends == (flow.client, flow.server)
            found = [row for row in flow.rows(position, towards).tolist() if packets.seq[row] == event["seq"]]
            seen = f"{len(found)} on {trace.taps[position].name}" if found else f"none on {trace.taps[position].name}"
            what = f"{event.get('flags', '')} seq {event['seq']}".strip()
            yield box, f"{event['flow']} sent", what, seen, _agrees(bool(found))
        else:
            continue
        shown += 1


def _agrees(yes: bool) -> str:
    return "yes" if yes else "NO"
