"""Is the receive window translated (RFC 9293, 3.8.6; RFC 7323, 2)?

The right edge of a window is the acknowledgement plus the window, shifted by the scale that its sender announced at the
tap where it is seen: a box that announces another scale has to shift windows by the difference. Judged are

edge    every segment out of a box offers what its twin offered before the box, up to what the coarser of both scales
        can say and to the field's largest value; on a link its window is the same number;
shrink  what a box offered, in its own SYN-ACK or by itself, is not taken back later, unless the end itself shrinks.

Cannot prove: anything of flows whose handshake no capture has, as their scales are unknown; nor that an offer could
have been kept; nor who changed the order of offers that left within 20 us of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hopscope.checks.alike import alike
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.ranked import by_time, highest_before, newest
from hopscope.checks.stretch import Stretch, between
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, View, among, keys, rewritten, server_answered, server_base, view
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

_LARGEST = 65535
NEIGHBOURS_NS = 20_000
"""Segments that come this close may change places in a kernel that forwards on several processors: any kernel's do."""


@dataclass(frozen=True)
class Windows:
    claim: str | None = None
    name: str = "windows"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        flows = rewritten(trace, self.claim) & ~server_answered(trace) & (trace.real_isn >= 0)
        if self.claim == "plain" or not flows.any():
            return not_applicable(self.name, "no box answers for the server: windows are the ends' own")
        faults, judged, segments = Faults(len(flows)), np.zeros(len(flows), bool), 0
        scales = _Scales(trace)
        passages = [_Offers(trace, way, up, flows, scales) for way in between(trace) for up in (True, False)]
        for offers in passages:
            segments += offers.judge(faults)
            if offers.way.boxes:
                judged[offers.after.flow] = True
        for offers in passages:  # a twin that is wrong says where, so it comes first
            if offers.way.boxes:
                offers.nothing_taken_back(faults)
        number = int(np.count_nonzero(judged | faults.flows))
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} with a wrong window: {kinds}",
                judged=number, failed=bad, evidence=faults.evidence, metrics={"segments": segments, **faults.counts},
            )  # fmt: skip
        if not number:
            return inconclusive(self.name, "no box was captured on both of its sides, handshake included")
        return passed(
            self.name, f"{segments:,} windows of {count(number, 'flow')} translated", judged=number,
            metrics={"segments": segments},
        )  # fmt: skip


def windows(claim: str | None = None) -> Windows:
    return Windows(claim)


class _Offers:
    """The windows of one direction over one stretch, before and behind it."""

    def __init__(self, trace: Trace, way: Stretch, up: bool, flows: Bools, scales: _Scales) -> None:
        self.trace, self.way, self.up = trace, way, up
        self.source, self.target = (way.near, way.far) if up else (way.far, way.near)
        self.first = min(trace.taps) if up else max(trace.taps)
        self.scales = {position: scales.at(position, up) for position in (self.first, self.source, self.target)}
        self.known = flows & (self.scales[self.source] >= 0) & (self.scales[self.target] >= 0)
        self.after = self._seen(self.target)

    @cached_property
    def before(self) -> View:
        return self._seen(self.source)

    @property
    def end(self) -> View:
        """What the end itself offered, as the tap nearest to it saw."""
        return self.before if self.first == self.source else self._seen(self.first)

    def _seen(self, position: Position) -> View:
        return _acks(view(self.trace, position, self.known & (self.scales[position] >= 0)), self.up)

    def judge(self, faults: Faults) -> int:
        """Add what is wrong; returns how many segments were held against a twin."""
        if alike(self.trace, self.way, self.up):
            return int(np.count_nonzero(~self.after.has(SYN)))
        first, second = _twins(self._edges(self.before), self.before, self._edges(self.after), self.after)
        if self.way.boxes:
            self._edges_kept(first, second, faults)
        else:
            was, now = (self._field(side)[rows] for side, rows in ((self.before, first), (self.after, second)))
            for at in np.flatnonzero(was != now).tolist():
                self._fault(faults, "window changed on a link", int(second[at]), str(was[at]), str(now[at]))
        return len(first)

    def _field(self, side: View) -> Ints:
        return self.trace.taps[side.position].packets.window[side.row].astype(np.int64)

    def _edges(self, side: View) -> Ints:
        scale = np.where(side.has(SYN), 0, self.scales[side.position][side.flow])
        return np.asarray(side.ack + (self._field(side) << scale))

    def _slack(self, flow: Ints) -> Ints:
        """What the coarsest of the scales cannot say."""
        return np.asarray((1 << np.maximum.reduce([scale[flow] for scale in self.scales.values()])) - 1)

    def _edges_kept(self, first: Ints, second: Ints, faults: Faults) -> None:
        offered, passed_on = self._edges(self.before)[first], self._edges(self.after)[second]
        slack, full = self._slack(self.after.flow[second]), self._field(self.after)[second] == _LARGEST
        for kind, wrong in (
            ("right edge shrunk", (passed_on < offered - slack) & ~full),
            ("right edge beyond what was offered", passed_on > offered + slack),
        ):
            for at in np.flatnonzero(wrong).tolist():
                self._fault(faults, kind, int(second[at]), f"right edge {offered[at]}", f"{passed_on[at]}")

    def nothing_taken_back(self, faults: Faults) -> None:
        """Add offers that come out smaller than one before them, in flows of which nothing else is wrong.

        What the end took back itself, or a link brought in late, is not the box's.
        """
        least = np.zeros(len(self.trace.whole), np.int64)
        own, where, behind = self._taken_back(self.end)
        np.maximum.at(least, own.flow[where], behind[where])
        side, where, behind = self._taken_back(self.after)
        if len(where):
            late, rows, by = self._taken_back(self.before)
            np.maximum.at(least, late.flow[rows], by[rows])
        worse = where[behind[where] > least[side.flow[where]] + self._slack(side.flow[where])]
        edges = self._edges(side)
        worse = worse[~faults.flows[side.flow[worse]]]
        for at in worse.tolist():
            if self._overtaken_by_neighbours(side, edges, at):
                continue
            expected = f"right edge {edges[at] + behind[at]}, as it was offered before"
            self._fault(faults, "right edge taken back", at, expected, str(edges[at]), side)

    def _overtaken_by_neighbours(self, side: View, edges: Ints, at: int) -> bool:
        """Whether all that offered more left within a moment before: its order is a matter of the box's processors."""
        time = self.trace.taps[side.position].packets.time[side.row]
        long_before = (side.flow == side.flow[at]) & (time < time[at] - NEIGHBOURS_NS)
        return not (edges[long_before] > edges[at] + self._slack(side.flow[[at]])[0]).any()

    def _taken_back(self, side: View) -> tuple[View, Ints, Ints]:
        """The side by flow and time, which of it are behind an edge that was offered before, and by how much."""
        ordered = by_time(side)
        edges = self._edges(ordered)
        behind = highest_before(ordered.flow, edges, none=-1) - edges
        return ordered, np.flatnonzero(newest(ordered) & (behind > self._slack(ordered.flow))), behind

    def _fault(self, faults: Faults, kind: str, at: int, expected: str, seen: str, side: View | None = None) -> None:
        side = self.after if side is None else side
        flow = int(side.flow[at])
        faults.add(kind, np.array([flow]))
        if not faults.full:
            faults.show(
                of_rows(
                    self.trace, side.position, [int(side.row[at])], flow=flow, expected=expected,
                    seen=f"{seen} out of {self.way.name}",
                )
            )  # fmt: skip


class _Scales:
    """What each tap shows of the window scales."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.told: dict[Position, tuple[Bools, Bools, Ints, Ints]] = {}
        """By tap: both handshake segments are there; both have a scale; the client's; the server's."""
        for position, tap in trace.rows.items():
            syn, answer = tap.first(tap.syn), tap.first(tap.synack)
            asked, answered = tap.value(tap.packets.wscale, syn), tap.value(tap.packets.wscale, answer)
            self.told[position] = (syn >= 0) & (answer >= 0), (asked >= 0) & (answered >= 0), asked, answered
        self.known: dict[tuple[Position, bool], Ints] = {}

    def at(self, position: Position, up: bool) -> Ints:
        if (position, up) not in self.known:
            self.known[position, up] = self._at(position, up)
        return self.known[position, up]

    def _at(self, position: Position, up: bool) -> Ints:
        """By how much windows of one direction are shifted at a tap; -1 where no handshake tells.

        A handshake is that of the nearest tap which has it, among those that see the same numbers of the server: a
        SYN-ACK that a box has made need not pass every tap.
        """
        trace = self.trace
        scale = np.full(len(trace), -1, np.int64)
        base = server_base(trace, position)
        for other in sorted(trace.taps, key=lambda each: abs(each - position)):
            shaken, scaled, asked, answered = self.told[other]
            used = np.where(scaled, np.minimum(asked if up else answered, 14), 0)  # RFC 7323, 2.3
            told = shaken & (base >= 0) & (base == server_base(trace, other))
            scale = np.where((scale < 0) & told, used, scale)
            if (scale >= 0).all():
                break
        return scale


def _acks(seen: View, up: bool) -> View:
    return seen[(seen.up == up) & seen.acks & seen.placed & ~seen.has(RST)]


def _twins(edges_in: Ints, before: View, edges_out: Ints, after: View) -> tuple[Ints, Ints]:
    """Segments with the same numbers on both sides, where as many were seen; of several, in the order of their edges.

    The SYN-ACK of a box is its own, and has no twin.
    """
    some_in, some_out = np.flatnonzero(~before.has(SYN)), np.flatnonzero(~after.has(SYN))
    key_in, key_out = _key(before[some_in]), _key(after[some_out])
    values_in, count_in = np.unique(key_in, return_counts=True)
    values_out, count_out = np.unique(key_out, return_counts=True)
    both, at_in, at_out = np.intersect1d(values_in, values_out, assume_unique=True, return_indices=True)
    even = both[count_in[at_in] == count_out[at_out]]
    first, second = (
        some[np.lexsort((edges[some], key))][among(np.sort(key), even)]
        for some, key, edges in ((some_in, key_in, edges_in), (some_out, key_out, edges_out))
    )
    return first, second


def _key(seen: View) -> np.ndarray:
    return keys(seen.flow, seen.seq, seen.length, seen.ack, seen.flags & (FIN | ACK))
