"""Do the timestamps behind a box still make sense to TCP (RFC 7323, 3 and 5)?

echo    every TSecr that reaches an end is a TSval that it has sent, as the last tap before it saw; a box that has
        answered for the end may have told its clock of shortly before its first segment;
clock   the TSval of a segment that is not behind any other is not lower than one before it: the receiver would drop
        the segment (PAWS).

What an end does itself, before the box, is not the box's doing. That a box shifts timestamps by one constant is judged
by ``translation``.

Cannot prove: that a clock runs at the right speed: only that it does not go back and is echoed truly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.ranked import by_time, highest_before, newest
from hopscope.checks.stretch import between
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, View, among, keys, not_before, rewritten, view
from hopscope.wire.packets import ACK, RST
from hopscope.wire.seq import add, distance
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

_SHORTLY = 5000
"""Ticks of a clock, a few seconds at most (RFC 7323, 5.4)."""


_LAST = {
    True: (Position.SERVERNIC_LAN, Position.SERVER),
    False: (Position.CLIENTNIC_LAN, Position.CLIENT),
}
"""Taps on the way to the server, or to the client, that see all that this end has said, whoever answered for it."""


@dataclass(frozen=True)
class Clocks:
    claim: str | None = None
    name: str = "clocks"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        flows = rewritten(trace, self.claim)
        if self.claim == "plain" or not flows.any():
            return not_applicable(self.name, "no box answers for the server: timestamps are the ends' own")
        stretches = [way for way in between(trace) if way.boxes]
        taps = {position for way in stretches for position in (way.near, way.far)}
        seen = {position: _Tap(trace, position, flows) for position in taps}
        faults, judged, segments = Faults(len(flows)), np.zeros(len(flows), bool), 0
        uses = False
        for way in stretches:
            for up in (True, False):
                source, target = (way.near, way.far) if up else (way.far, way.near)
                stamped = seen[target].stamped(up)
                uses |= bool(len(stamped))
                echoes = stamped[trace.taps[target].packets.tsecr[stamped.row] > 0]
                judged[echoes.flow] = True
                segments += len(echoes)
                sender = min(taps) if up else max(taps)
                seen[target].judge_clock(up, seen[source], faults, way.name)
                if target == (max(taps) if up else min(taps)) and target in _LAST[up]:
                    seen[target].judge_echo(up, seen[sender], faults, way.name)
        number = int(np.count_nonzero(judged))
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} with timestamps that make no sense: {kinds}",
                judged=number, failed=bad, evidence=faults.evidence, metrics={"segments": segments, **faults.counts},
            )  # fmt: skip
        if not stretches:
            return inconclusive(self.name, "no box was captured on both of its sides")
        if not number:
            if uses:
                return inconclusive(self.name, "no segment answers another: there was nothing to judge")
            return not_applicable(self.name, "no flow uses timestamps")
        return passed(
            self.name, f"{segments:,} timestamps of {count(number, 'flow')} in order", judged=number,
            metrics={"segments": segments},
        )  # fmt: skip


def clocks(claim: str | None = None) -> Clocks:
    return Clocks(claim)


class _Tap:
    """The segments of one tap that carry timestamps."""

    def __init__(self, trace: Trace, position: Position, flows: Bools) -> None:
        self.trace, self.packets = trace, trace.taps[position].packets
        everything = view(trace, position, flows)
        self.rows = by_time(everything[(self.packets.tsval[everything.row] >= 0) & ~everything.has(RST)])

    def stamped(self, up: bool) -> View:
        return self.rows[self.rows.up == up]

    def strange(self, up: bool) -> tuple[View, Ints]:
        """Segments of one direction that echo what was never sent."""
        mine, other = self.stamped(up), self.stamped(not up)
        tsecr = self.packets.tsecr[mine.row]
        said = self.packets.tsval[other.row]
        heard = not_before(keys(mine.flow, tsecr), mine.time, keys(other.flow, said), other.time)
        first = np.full(len(self.trace.whole), -1, np.int64)
        first[other.flow[::-1]] = said[::-1]
        ahead = distance(first[mine.flow], tsecr)
        heard |= (first[mine.flow] >= 0) & (ahead > 0) & (ahead <= _SHORTLY)
        return mine, np.flatnonzero((tsecr > 0) & mine.has(ACK) & ~heard)

    def backward(self, up: bool) -> tuple[View, Ints, Ints]:
        """Segments of one direction whose clock goes back although nothing newer came before, and by how much."""
        mine = self.stamped(up)
        if not len(mine):
            return mine, mine.row, mine.row
        first = np.concatenate([[0], np.flatnonzero(np.diff(mine.flow)) + 1])
        origin = np.repeat(self.packets.tsval[mine.row[first]], np.diff(np.append(first, len(mine))))
        clock = distance(self.packets.tsval[mine.row], origin)
        behind = highest_before(mine.flow, clock, none=-(1 << 40)) - clock
        return mine, np.flatnonzero(newest(mine) & (behind > 0)), behind

    def judge_echo(self, up: bool, sender: _Tap, faults: Faults, box: str) -> None:
        """Echoes of nothing that come out here, in flows whose sender has not made them itself."""
        (own, bad), (mine, wrong) = sender.strange(up), self.strange(up)
        wrong = wrong[~among(mine.flow[wrong], own.flow[bad])]
        expected = ["a TSval that came the other way before"] * len(wrong)
        self._tell(faults, "TSecr", "that echoes nothing", mine[wrong], expected, box)

    def judge_clock(self, up: bool, before: _Tap, faults: Faults, box: str) -> None:
        """Clocks that go back here, in flows in which they did not before the box."""
        (own, bad, _), (mine, wrong, behind) = before.backward(up), self.backward(up)
        wrong = wrong[~among(mine.flow[wrong], own.flow[bad])]
        least = add(self.packets.tsval[mine.row[wrong]], behind[wrong])
        expected = [f"TSval {value} or later" for value in least.tolist()]
        self._tell(faults, "TSval", "that goes back", mine[wrong], expected, box)

    def _tell(self, faults: Faults, field: str, what: str, wrong: View, expected: list[str], box: str) -> None:
        faults.add(f"{field} {what}", wrong.flow)
        value = self.packets.tsecr if field == "TSecr" else self.packets.tsval
        for flow, row, should in zip(wrong.flow.tolist(), wrong.row.tolist(), expected, strict=True):
            if faults.full:
                return
            seen = f"{field} {int(value[row])} out of {box}"
            faults.show(of_rows(self.trace, wrong.position, [row], flow=flow, expected=should, seen=seen))
