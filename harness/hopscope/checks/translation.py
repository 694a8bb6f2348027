"""Is every segment translated by its flow's constant, and nothing else changed?

Each segment that leaves a box is held against those that entered it, in numbers relative to the ISN of each side (see
``view``): on the translating box the server's space starts at V on one side and at R on the other, so that a constant
delta makes the numbers equal; through the other box they must be equal as they are. Judged are

seq      of every segment, both directions; a box may cut segments anew, if the bytes are the same;
ack      of every segment; a box may acknowledge by itself (it completes handshakes, it takes early data), but only at
         the end of a segment that it has seen;
SACK     every edge;
TSval    shifted by one constant per flow towards the client, TSecr by the same constant back (RFC 7323);
stamp    in the ack field of every SYN on the WAN, and zeroed before the server;
SYN-ACK  acknowledges the client's ISN + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hopscope.checks import handshake, timestamps
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.streams import Stream
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import (
    Bools,
    Ints,
    keys,
    not_before,
    placed,
    rewritten,
    server_answered,
    server_base,
    unaccepted,
    view,
)
from hopscope.wire.packets import FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Placement, Trace


@dataclass(frozen=True)
class Translation:
    claim: str | None = None
    name: str = "translation"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        if self.claim == "plain":
            return not_applicable(self.name, "plain TCP is claimed: nothing is to be translated")
        flows = rewritten(trace)
        if not flows.any():
            if (trace.whole & placed(trace, Placement.PLAIN)).any():
                return not_applicable(self.name, "plain TCP: nothing is translated")
            return inconclusive(self.name, "the captures do not show whether anything is translated")
        behind = flows & server_answered(trace)
        flows = flows & ~behind
        if not flows.any():
            return inconclusive(self.name, f"{count(int(behind.sum()), 'flow')} carried by the kernel: see carried_by")
        if not (flows & ~unaccepted(trace)).any():
            return not_applicable(self.name, "the server accepted no connection: there was nothing to translate")
        faults = Faults(len(flows))
        handshake.judge(trace, flows, faults)
        crossed = np.zeros(len(flows), dtype=bool)
        translated = crossed.copy()
        segments = 0
        crossings = between(trace)
        for near, far, inside in crossings:
            for up in (True, False):
                crossing = Crossing(trace, inside, near, far, up, flows)
                crossing.judge(faults)
                crossed[crossing.after.flow] = True
                translated |= crossing.moves & crossed
                segments += len(crossing.after)
        boxes = [inside for _, _, inside in crossings]
        return self._verdict(flows & crossed, translated, faults, boxes, segments)

    def _verdict(self, judged: Bools, translated: Bools, faults: Faults, boxes: list[str], segments: int) -> Verdict:
        number = int(np.count_nonzero(judged | faults.flows))
        metrics = {"segments": segments, **faults.counts}
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} translated wrongly: {kinds}", judged=number,
                failed=bad, evidence=faults.evidence, metrics=metrics,
            )  # fmt: skip
        if not boxes or not number:
            return inconclusive(self.name, "no box was captured on both of its sides", metrics=metrics)
        if not translated.any():
            return inconclusive(self.name, "the translating box was not captured on both of its sides", metrics=metrics)
        return passed(
            self.name, f"{segments:,} segments of {count(number, 'flow')} through {' and '.join(boxes)}", judged=number,
            metrics=metrics,
        )  # fmt: skip


def translation(claim: str | None = None) -> Translation:
    return Translation(claim)


def between(trace: Trace) -> list[tuple[Position, Position, str]]:
    """Neighbouring taps with a box in between (or two, where taps are few): client's side, server's side, names."""
    places = list(trace.taps)
    found = []
    for near, far in pairwise(places):
        inside = [box for box, sides in BOXES.items() if near <= sides[0] and sides[1] <= far]
        if inside:
            found.append((near, far, " and ".join(inside)))
    return found


class Crossing:
    """One direction through a box: segments at the taps before it and after it."""

    def __init__(self, trace: Trace, box: str, near: Position, far: Position, up: bool, flows: Bools) -> None:
        self.trace, self.box, self.up = trace, box, up
        self.one_clock = trace.same_clock or trace.taps[near].host == trace.taps[far].host
        source, target = (near, far) if up else (far, near)
        here, there = server_base(trace, near), server_base(trace, far)
        known = flows & (here >= 0) & (there >= 0)
        self.moves: Bools = known & (here != there)
        entered, left = view(trace, source, known), view(trace, target, known)
        self.before = entered[(entered.up == up) & ~entered.has(SYN)]
        self.after = left[(left.up == up) & ~left.has(SYN)]
        self.back = left[left.up != up]  # the other direction, as the far end of this crossing has seen it

    def judge(self, faults: Faults) -> None:
        before, after = self.before, self.after
        moved = (after.length > 0) | after.has(FIN)
        twins = self._known(
            keys(after.flow, after.seq, after.length, after.has(FIN)),
            keys(before.flow, before.seq, before.length, before.has(FIN)),
            before.time,
        )
        strange = np.flatnonzero(moved & ~twins)
        wrong = strange[~self._recut(strange)]
        places = self._places(resets=bool(after.has(RST).any()))
        empty = ~moved & ~self._known(keys(after.flow, after.seq), *places)
        self._seq_faults(faults, np.sort(np.concatenate((wrong, np.flatnonzero(empty & ~_refusal(self))))))
        self._ack_faults(faults)
        self._sack_faults(faults)
        timestamps.judge(self.trace, self.up, before, after, faults)

    def _places(self, *, resets: bool) -> tuple[NDArray[np.uint64], Ints]:
        """Where an empty segment of this side may stand, and since when: where segments start and end."""
        before, back = self.before, self.back
        flow, number, since = [before.flow] * 3, [before.seq, before.end, before.end - 1], [before.time] * 3
        if resets:  # an RST stands where the other side's ack pointed (RFC 9293, 3.10.7.1)
            acks = back[back.acks]
            flow.append(acks.flow)
            number.append(acks.ack)
            since.append(acks.time)
        return self._with_first(flow, number, since)

    def _with_first(self, flow: list[Ints], number: list[Ints], since: list[Ints]) -> tuple[NDArray[np.uint64], Ints]:
        """Keys of (flow, number) and since when they hold; 1, the end of the handshake, always does."""
        every = np.unique(self.after.flow)
        one = np.ones(len(every), dtype=np.int64)
        flow, number, since = [*flow, every], [*number, one], [*since, np.full(len(every), np.iinfo(np.int64).min)]
        return keys(np.concatenate(flow), np.concatenate(number)), np.concatenate(since)

    def _known(self, key: NDArray[np.uint64], known: NDArray[np.uint64], since: Ints) -> Bools:
        """Which of the keys, one for each segment after the box, had been seen by then; at all, if clocks differ."""
        time = self.after.time if self.one_clock else np.full(len(key), np.iinfo(np.int64).max)
        return not_before(key, time, known, since)

    def _recut(self, strange: Ints) -> Bools:
        """Of segments without a twin, those whose bytes entered the box in other segments, at the same numbers."""
        good = np.zeros(len(strange), dtype=bool)
        source = self.trace.taps[self.before.position].packets
        target = self.trace.taps[self.after.position].packets
        streams: dict[int, tuple[Stream, set[int]]] = {}
        for n, at in enumerate(strange.tolist()):
            flow = int(self.after.flow[at])
            if flow not in streams:
                mine = self.before[self.before.flow == flow]
                streams[flow] = Stream(source, mine), set(mine.end[mine.has(FIN)].tolist())
            stream, fins = streams[flow]
            start = int(self.after.seq[at])
            end = start + int(self.after.length[at])
            found = stream.read(start, end)
            if found is None or (self.after.flags[at] & FIN and int(self.after.end[at]) not in fins):
                continue
            payload = target.payload(int(self.after.row[at]))
            kept = min(len(payload), found[1])
            good[n] = payload[:kept] == found[0][:kept]
        return good

    def _seq_faults(self, faults: Faults, wrong: Ints) -> None:
        packets = self.trace.taps[self.after.position].packets
        faults.add("segment without its twin's number", self.after.flow[wrong])
        for at in wrong.tolist():
            if faults.full:
                return
            row, flow = int(self.after.row[at]), int(self.after.flow[at])
            should = self._expected(at)
            faults.show(
                of_rows(
                    self.trace, self.after.position, [row], flow=flow,
                    expected=f"seq {should}" if should is not None else f"a segment that entered {self.box}",
                    seen=f"seq {int(packets.seq[row])} out of {self.box}",
                )
            )  # fmt: skip

    def _expected(self, at: int) -> int | None:
        """What the sequence number should have been: that of the last segment of this length that entered before."""
        before, after = self.before, self.after
        alike = np.flatnonzero(
            (before.flow == after.flow[at]) & (before.length == after.length[at]) & (before.time <= after.time[at])
        )
        if not len(alike):
            return None
        isn = self.trace.client_isn if self.up else server_base(self.trace, after.position)
        return (int(before.seq[alike[-1]]) + int(isn[after.flow[at]])) % 2**32

    def _ack_faults(self, faults: Faults) -> None:
        after = self.after
        acks = after.acks & ~after.has(RST)
        entered = self.before[self.before.acks]
        back = self.back
        known, since = self._with_first([entered.flow, back.flow], [entered.ack, back.end], [entered.time, back.time])
        wrong = np.flatnonzero(acks & ~self._known(keys(after.flow, after.ack), known, since))
        faults.add("acknowledgement without its twin's number", after.flow[wrong])
        packets = self.trace.taps[after.position].packets
        isn = server_base(self.trace, after.position) if self.up else self.trace.client_isn
        for at in wrong.tolist():
            if faults.full:
                return
            row, flow_index = int(after.row[at]), int(after.flow[at])
            mine = entered.flow == flow_index
            same = np.flatnonzero(mine & (entered.seq == after.seq[at]) & (entered.length == after.length[at]))
            near = same if len(same) else np.flatnonzero(mine)
            closest = near[np.argmin(np.abs(entered.ack[near] - after.ack[at]))] if len(near) else None
            should = None if closest is None else (int(entered.ack[closest]) + int(isn[flow_index])) % 2**32
            faults.show(
                of_rows(
                    self.trace, after.position, [row], flow=flow_index,
                    expected="an ack that its sender gave" if should is None else f"ack {should}",
                    seen=f"ack {int(packets.ack[row])} out of {self.box}",
                )
            )  # fmt: skip

    def _sack_faults(self, faults: Faults) -> None:
        """Edges are in the space of the other side's data: V and R for those that the client sends."""
        edges = []
        for seen in (self.before, self.after):
            packets = self.trace.taps[seen.position].packets
            isn = server_base(self.trace, seen.position) if self.up else self.trace.client_isn
            blocks = packets.sack_count[seen.row].astype(np.int64)
            used = np.arange(8)[None, :] < 2 * blocks[:, None]
            which, column = np.nonzero(used)
            flow = seen.flow[which]
            edge = distance(packets.sack[seen.row[which], column], isn[flow])
            edges.append((which, column, flow, edge))
        (_, _, flow_before, edge_before), (which, column, flow, edge) = edges
        wrong = np.flatnonzero(~np.isin(keys(flow, edge), keys(flow_before, edge_before)))
        faults.add("SACK edge without its twin's number", flow[wrong])
        packets = self.trace.taps[self.after.position].packets
        for at in wrong.tolist():
            if faults.full:
                return
            row, index = int(self.after.row[which[at]]), int(flow[at])
            isn = server_base(self.trace, self.after.position) if self.up else self.trace.client_isn
            candidates = edge_before[flow_before == index]
            should = None
            if len(candidates):
                closest = candidates[np.argmin(np.abs(candidates - edge[at]))]
                should = (int(closest) + int(isn[index])) % 2**32
            faults.show(
                of_rows(
                    self.trace, self.after.position, [row], flow=index,
                    expected="a SACK edge that its sender gave" if should is None else f"SACK edge {should}",
                    seen=f"SACK edge {int(packets.sack[row, column[at]])} out of {self.box}",
                )
            )  # fmt: skip


def _refusal(crossing: Crossing) -> Bools:
    """An RST that refuses a SYN has sequence number 0 (RFC 9293, 3.10.7.1)."""
    packets = crossing.trace.taps[crossing.after.position].packets
    return np.asarray(crossing.after.has(RST) & (packets.seq[crossing.after.row] == 0))
