"""Does a connection that ends on one side end on the other?

Every FIN must reach the other end and be acknowledged there and back; an RST at one end must be seen at the other,
unless that end had already finished. No RST of an established flow may be a box's own (see ``resets``). Where the
system under test tells (counters with an open-flow number), its tables must be empty five seconds after the last
segment (see ``tables``).

Cannot prove: that a box holds no memory of a flow, unless it tells how many flows it has open. A close
that began in the last second of the captures is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks import resets, tables
from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, passed
from hopscope.checks.view import Bools, view
from hopscope.wire.packets import FIN, RST
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

GRACE_NS = 1_000_000_000
"""A close that began later than this before the end of the captures may still be under way."""


@dataclass(frozen=True)
class Teardown:
    name: str = "teardown"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        if len(trace.taps) < 2:
            return inconclusive(self.name, "one capture alone does not show both sides")
        ends = _Ends(trace)
        closed = trace.whole & ends.closing
        judged = int(np.count_nonzero(closed))
        evidence, wrong, unseen = ends.faults(closed)
        shown, reset, unsure = resets.made_up(trace, trace.whole)
        evidence, unseen = [*shown, *evidence], unseen | unsure
        judged = max(judged, int(np.count_nonzero(reset)))
        table = tables.judge(trace, flows_open=bool((trace.whole & ~ends.closing).any()))
        still_open = int(np.count_nonzero(trace.whole & ~ends.closing))
        metrics = {"closed": judged, "open": still_open}
        note = table.note + (f"; {count(still_open, 'flow')} still open" if still_open else "")
        one_sided = int(np.count_nonzero(wrong & ~reset))
        failures = int(np.count_nonzero(wrong | reset))
        if failures or table.leftover:
            boxes = ", ".join(dict.fromkeys(item.seen for item in shown))
            parts = [f"{count(int(reset.sum()), 'flow')} of {judged:,} {boxes}"] if reset.any() else []
            parts += [f"{count(one_sided, 'flow')} of {judged:,} closed on one side only"] if one_sided else []
            parts += ["a flow table is not empty"] if table.leftover else []
            return failed(
                self.name, "; ".join(parts), judged=judged, failed=failures or len(table.leftover),
                evidence=[*evidence, *table.leftover], metrics=metrics,
            )  # fmt: skip
        if unseen.any():
            return inconclusive(
                self.name, f"{count(int(unseen.sum()), 'flow')}: the close is missing from a capture that lost packets",
                judged=judged, evidence=evidence, metrics=metrics,
            )  # fmt: skip
        if not judged:
            return inconclusive(self.name, "no connection was closed within the captures", metrics=metrics)
        if table.unsure:
            return inconclusive(
                self.name, f"{table.unsure[0].tap} told {table.unsure[0].seen}, and of no empty flow table after that",
                judged=judged, evidence=table.unsure, metrics=metrics,
            )  # fmt: skip
        return passed(self.name, f"{count(judged, 'flow')} closed on both sides{note}", judged=judged, metrics=metrics)


def teardown() -> Teardown:
    return Teardown()


class _Ends:
    """FINs and RSTs at the two outermost taps, by flow."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.client, self.server = min(trace.taps), max(trace.taps)
        self.fin = {
            (place, up): trace.last_rows(place, (trace.to_server[place] == up) & self._flag(place, FIN))
            for place in (self.client, self.server)
            for up in (True, False)
        }
        self.rst = {place: trace.first_rows(place, self._flag(place, RST)) for place in (self.client, self.server)}
        rows = (*self.fin.values(), *self.rst.values())
        self.closing: Bools = np.logical_or.reduce([row >= 0 for row in rows])

    def faults(self, flows: Bools) -> tuple[list[Evidence], Bools, Bools]:
        """Evidence, flows that closed on one side only, and flows where an unhealthy capture may have missed it."""
        evidence: list[Evidence] = []
        wrong = np.zeros(len(flows), dtype=bool)
        unseen = wrong.copy()
        for here, there, up in ((self.client, self.server, True), (self.server, self.client, False)):
            who, other = ("client", "server") if up else ("server", "client")
            done = (self.fin[there, True] >= 0) & (self.fin[there, False] >= 0)
            quiet = (self.rst[here] < 0) & (self.rst[there] < 0)
            sent = flows & self._settled(here, self.fin[here, up])
            unacked = sent & quiet & (self.fin[there, up] >= 0) & ~self._acknowledged(here, up)
            cases = (
                (self.fin[here, up], sent & (self.fin[there, up] < 0) & (self.rst[there] < 0),
                 f"the {who}'s FIN at {self._name(there)}", "it never came"),
                (self.fin[here, up], unacked, f"an acknowledgement of the {who}'s FIN", "none came back"),
                (self.rst[here], flows & self._settled(here, self.rst[here]) & (self.rst[there] < 0) & ~done,
                 f"the RST at {self._name(there)} too", f"the {other}'s side never heard of it"),
            )  # fmt: skip
            for rows, bad, expected, seen in cases:
                blind = there if "FIN at" in expected or "RST" in expected else here
                target = unseen if complaints(self.trace, blind) else wrong
                target |= bad
                evidence += [
                    of_rows(self.trace, here, [rows[flow]], flow=int(flow), expected=expected, seen=seen)
                    for flow in np.flatnonzero(bad)[:5]
                ]
        return evidence, wrong, unseen & ~wrong

    def _flag(self, place: Position, flag: int) -> Bools:
        return np.asarray((self.trace.flow_of[place] >= 0) & ((self.trace.taps[place].packets.flags & flag) != 0))

    def _settled(self, place: Position, rows: np.ndarray) -> Bools:
        """Rows that are there, and early enough for their consequences to have been captured."""
        time, health = self.trace.taps[place].packets.time, self.trace.taps[place].health
        if not len(time):
            return np.zeros(len(rows), dtype=bool)
        ends = health.end_ns if health is not None and health.end_ns is not None else int(time.max())
        return np.asarray((rows >= 0) & (time[np.maximum(rows, 0)] <= ends - GRACE_NS))

    def _acknowledged(self, place: Position, up: bool) -> Bools:
        """Flows whose FIN in this direction was acknowledged at the tap where it set out."""
        seen = view(self.trace, place, self.trace.whole)
        end = np.full(len(self.trace.whole), np.iinfo(np.int64).max)
        fins = seen[(seen.up == up) & seen.has(FIN) & seen.placed]
        end[fins.flow] = fins.end
        acks = seen[(seen.up != up) & seen.acks]
        acknowledged = np.zeros(len(end), dtype=bool)
        acknowledged[acks.flow[acks.ack >= end[acks.flow]]] = True
        unknown = end == np.iinfo(np.int64).max  # the ISN was not captured: nothing to hold against the box
        return np.asarray(acknowledged | unknown)

    def _name(self, place: Position) -> str:
        return self.trace.taps[place].name
