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

import numpy as np

from hopscope.checks import handshake, timestamps
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.streams import Stream
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, keys, placed, rewritten, server_answered, server_base, view
from hopscope.wire.packets import FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import BOXES
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
        faults = Faults(len(flows))
        handshake.judge(trace, flows, faults)
        crossed = np.zeros(len(flows), dtype=bool)
        segments = 0
        boxes = [box for box in BOXES if all(side in trace.taps for side in BOXES[box])]
        for box in boxes:
            for up in (True, False):
                crossing = Crossing(trace, box, up, flows)
                crossing.judge(faults)
                crossed[crossing.after.flow] = True
                segments += len(crossing.after)
        return self._verdict(trace, flows & crossed, faults, boxes, segments)

    def _verdict(self, trace: Trace, judged: Bools, faults: Faults, boxes: list[str], segments: int) -> Verdict:
        number = int(np.count_nonzero(judged | faults.flows))
        metrics = {"segments": segments, **faults.counts}
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} translated wrongly: {kinds}", judged=number,
                failed=bad, evidence=faults.evidence, metrics=metrics,
            )  # fmt: skip
        translating = trace.translator[judged]
        if not boxes or not number:
            return inconclusive(self.name, "no box with captures on both of its sides", metrics=metrics)
        if not (translating >= 0).any():
            return inconclusive(self.name, "the translating box was not captured on both of its sides", metrics=metrics)
        return passed(
            self.name, f"{segments:,} segments of {count(number, 'flow')} through {' and '.join(boxes)}", judged=number,
            metrics=metrics,
        )  # fmt: skip


def translation(claim: str | None = None) -> Translation:
    return Translation(claim)


class Crossing:
    """One direction through one box: segments before it and after it."""

    def __init__(self, trace: Trace, box: str, up: bool, flows: Bools) -> None:
        self.trace, self.box, self.up = trace, box, up
        near, far = BOXES[box]
        source, target = (near, far) if up else (far, near)
        known = flows & (server_base(trace, near) >= 0) & (server_base(trace, far) >= 0)
        entered, left = view(trace, source, known), view(trace, target, known)
        self.before = entered[(entered.up == up) & ~entered.has(SYN)]
        self.after = left[(left.up == up) & ~left.has(SYN)]
        self.back = left[left.up != up]  # the other direction, as the far end of this crossing has seen it

    def judge(self, faults: Faults) -> None:
        before, after = self.before, self.after
        moved = (after.length > 0) | after.has(FIN)
        twins = np.isin(
            keys(after.flow, after.seq, after.length, after.has(FIN)),
            keys(before.flow, before.seq, before.length, before.has(FIN)),
        )
        strange = np.flatnonzero(moved & ~twins)
        wrong = strange[~self._recut(strange)]
        empty = ~moved & ~self._known(after.flow, after.seq, self._numbers(resets=bool(after.has(RST).any())))
        self._seq_faults(faults, np.sort(np.concatenate((wrong, np.flatnonzero(empty & ~_refusal(self))))))
        self._ack_faults(faults)
        self._sack_faults(faults)
        timestamps.judge(self.trace, self.up, before, after, faults)

    def _numbers(self, resets: bool) -> tuple[Ints, Ints]:
        """(flow, number) pairs at which an empty segment of this side may stand: where segments start and end."""
        before, back = self.before, self.back
        flow = [before.flow, before.flow, before.flow, np.unique(self.after.flow)]
        number = [before.seq, before.end, before.end - 1, np.ones(len(flow[3]), dtype=np.int64)]
        if resets:  # an RST stands where the other side's ack pointed (RFC 9293, 3.10.7.1)
            acks = back[back.acks]
            flow.append(acks.flow)
            number.append(acks.ack)
        return np.concatenate(flow), np.concatenate(number)

    @staticmethod
    def _known(flow: Ints, number: Ints, pairs: tuple[Ints, Ints]) -> Bools:
        return np.isin(keys(flow, number), keys(*pairs))

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
        flow = np.concatenate((entered.flow, back.flow, np.unique(after.flow)))
        number = np.concatenate((entered.ack, back.end, np.ones(len(flow) - len(entered) - len(back), dtype=np.int64)))
        wrong = np.flatnonzero(acks & ~self._known(after.flow, after.ack, (flow, number)))
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
