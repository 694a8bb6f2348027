"""One direction over one stretch of the chain, a box or a link: what goes in against what comes out."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hopscope.checks import timestamps
from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.streams import Stream
from hopscope.checks.stretch import Stretch
from hopscope.checks.view import Bools, Ints, View, among, keys, not_before, server_base, view
from hopscope.wire.packets import FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.trace import Trace


class Crossing:
    """One direction over a stretch: segments at the tap before it and at the tap after it."""

    def __init__(self, trace: Trace, way: Stretch, up: bool, flows: Bools) -> None:
        self.trace, self.box, self.up, self.is_link = trace, way.name, up, not way.boxes
        near, far = way.near, way.far
        self.one_clock = trace.same_clock or trace.taps[near].host == trace.taps[far].host
        source, target = (near, far) if up else (far, near)
        here, there = server_base(trace, near), server_base(trace, far)
        known = flows & (here >= 0) & (there >= 0)
        self.moves: Bools = known & (here != there)
        entered, left = view(trace, source, known), view(trace, target, known)
        health = trace.taps[source].health
        self.proven = health is not None and not complaints(trace, source)
        self.before = entered[(entered.up == up) & ~entered.has(SYN)]
        self.after = left[(left.up == up) & ~left.has(SYN)]
        opened = entered[(entered.up == up) & entered.has(SYN)]
        opened = opened[np.lexsort((opened.time, opened.flow))]
        self.repeated = opened[np.flatnonzero(opened.flow[1:] == opened.flow[:-1]) + 1]
        self.back = left[left.up != up]  # the other direction, as the far end of this crossing has seen it

    def judge(self, faults: Faults) -> None:
        before, after = self.before, self.after
        moved = (after.length > 0) | after.has(FIN)
        key_before, key_after = (keys(side.flow, side.seq, side.length, side.has(FIN)) for side in (before, after))
        twins = self._known(key_after, key_before, before.time)
        strange = np.flatnonzero(moved & ~twins)
        wrong = strange[~self._recut(strange)]
        places = self._places(resets=bool(after.has(RST).any()))
        empty = ~moved & ~self._known(keys(after.flow, after.seq), *places)
        self._seq_faults(faults, np.sort(np.concatenate((wrong, np.flatnonzero(empty & ~_refusal(self))))))
        self._ack_faults(faults)
        self._sack_faults(faults)
        self.shift = timestamps.judge(self.trace, self.up, before, after, faults)

    def _places(self, *, resets: bool) -> tuple[NDArray[np.uint64], Ints]:
        """Where an empty segment of this side may stand, and since when: where segments start and end."""
        before, back = self.before, self.back
        flow, number, since = [before.flow] * 3, [before.seq, before.end, before.end - 1], [before.time] * 3
        if resets:  # an RST stands where the other side's ack pointed (RFC 9293, 3.10.7.1)
            acks = back[back.acks]
            flow.append(acks.flow)
            number.append(acks.ack)
            since.append(acks.time)
        if not self.up:  # a box that meets the SYN-ACK again makes the client repeat its ACK, from the SYN's number
            flow.append(self.repeated.flow)
            number.append(np.zeros(len(self.repeated), dtype=np.int64))
            since.append(self.repeated.time)
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

    @cached_property
    def _orphans(self) -> NDArray[np.uint64]:
        """Keys (flow, length, FIN) of segments that went in and did not come out as they are."""
        before, after = self.before, self.after
        gone = before[~among(_identity(before), _identity(after))]
        return keys(gone.flow, gone.length, gone.has(FIN))

    def _blamed(self, faults: Faults, wrong: Ints) -> Ints:
        """Of rows that came out wrong, those that are no gap in the capture before.

        Without counters that prove it whole, a segment that came out of nothing was missed by that capture, unless one
        of its kind went in and did not come out.
        """
        if self.proven or not len(wrong):
            return wrong
        rows = self.after[wrong]
        changed = among(keys(rows.flow, rows.length, rows.has(FIN)), self._orphans)
        faults.miss(self.trace.taps[self.before.position].file, int(np.count_nonzero(~changed)))
        return wrong[changed]

    def _seq_faults(self, faults: Faults, wrong: Ints) -> None:
        packets = self.trace.taps[self.after.position].packets
        wrong = self._blamed(faults, wrong)
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
        wrong = np.flatnonzero(acks & (~self._known(keys(after.flow, after.ack), known, since) | self._restamped()))
        wrong = self._blamed(faults, wrong)
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

    def _restamped(self) -> Bools:
        """Segments with payload or FIN whose twins went in, but with another ack; on a link, empty ones as well."""
        before, after = self.before, self.after
        columns = ("flow", "seq", "length", "flags") if self.is_link else ("flow", "seq", "length")
        twin = [keys(*(getattr(side, one) for one in columns)) for side in (after, before)]
        exact = [keys(key, np.where(side.acks, side.ack, -1)) for key, side in zip(twin, (after, before), strict=True)]
        judged = (after.length > 0) | after.has(FIN) | self.is_link
        return np.asarray(judged & among(twin[0], twin[1]) & ~among(exact[0], exact[1]))

    def _sack_faults(self, faults: Faults) -> None:
        """Edges are in the space of the other side's data: V and R for those that the client sends."""
        sides = self.before, self.after
        if not any(self.trace.taps[seen.position].packets.sack_count[seen.row].any() for seen in sides):
            return
        edges = []
        for seen in sides:
            packets = self.trace.taps[seen.position].packets
            isn = server_base(self.trace, seen.position) if self.up else self.trace.client_isn
            blocks = packets.sack_count[seen.row].astype(np.int64)
            used = np.arange(8)[None, :] < 2 * blocks[:, None]
            which, column = np.nonzero(used)
            flow = seen.flow[which]
            edge = distance(packets.sack[seen.row[which], column], isn[flow])
            edges.append((which, column, flow, edge))
        (_, _, flow_before, edge_before), (which, column, flow, edge) = edges
        wrong = np.flatnonzero(~among(keys(flow, edge), keys(flow_before, edge_before)))
        if not self.proven:
            lost = ~among(keys(flow_before, edge_before), keys(flow, edge))
            changed = among(flow[wrong], flow_before[lost])
            faults.miss(self.trace.taps[self.before.position].file, int(np.count_nonzero(~changed)))
            wrong = wrong[changed]
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


def _identity(seen: View) -> NDArray[np.uint64]:
    return keys(seen.flow, seen.seq, seen.length, seen.has(FIN), np.where(seen.acks, seen.ack, -1))


def _refusal(crossing: Crossing) -> Bools:
    """An RST that refuses a SYN has sequence number 0 (RFC 9293, 3.10.7.1)."""
    packets = crossing.trace.taps[crossing.after.position].packets
    return np.asarray(crossing.after.has(RST) & (packets.seq[crossing.after.row] == 0))
