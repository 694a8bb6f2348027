"""Does every payload byte that one end sends reach the other end, unchanged?

The end's own tap (or the tap nearest to it) says what was sent, the other end's what arrived. Segments may be cut anew
and sent again on the way; ranges of bytes and their contents count. What must have arrived: everything that was
acknowledged to its sender, and everything sent more than a second before the capture, or an RST, ended it.

Cannot prove: what an application made of the bytes, nor what was still on its way when the capture ended and nobody had
acknowledged it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopscope.checks import unanswered
from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import count, mac_text, of_rows
from hopscope.checks.streams import Stream, first_byte
from hopscope.checks.verdict import Evidence, Outcome, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, View, among, keys, unaccepted, view
from hopscope.wire.packets import RST, SYN
from hopscope.wire.taps import BOXES, HOPS, Position
from hopscope.wire.trace import Trace

GRACE_NS = 1_000_000_000
"""Bytes sent later than this before the end of a capture may still be on their way, or be sent again."""

SLOW_EVIDENCE = 10
"""Failures that are traced through the taps in between, for each direction."""


@dataclass
class _Tally:
    failed: Bools
    unseen: Bools
    evidence: list[Evidence] = field(default_factory=list)
    bytes_compared: int = 0
    bytes_blind: int = 0
    bytes_lost: int = 0
    carried: Bools | None = None


@dataclass(frozen=True)
class Delivery:
    name: str = "delivery"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        if len(trace.taps) < 2:
            return inconclusive(self.name, "one capture alone does not show what arrives")
        none = np.zeros(len(trace.whole), dtype=bool)
        tally = _Tally(none.copy(), none.copy(), carried=none.copy())
        for up in (True, False):
            _Direction(trace, up, tally).judge()
        opening = unanswered.judge(trace)
        verdict = self._verdict(trace, tally)
        if (opening.lost | opening.unclear | opening.silent).any():
            return _with_openings(verdict, tally, opening)
        return verdict

    def _verdict(self, trace: Trace, tally: _Tally) -> Verdict:
        assert tally.carried is not None
        judged, failures = int(np.count_nonzero(tally.carried)), int(np.count_nonzero(tally.failed))
        metrics = {"bytes": tally.bytes_compared, "bytes_lost": tally.bytes_lost, "bytes_blind": tally.bytes_blind}
        ends = f"{trace.taps[min(trace.taps)].name} and {trace.taps[max(trace.taps)].name}"
        if failures:
            return failed(
                self.name, f"{count(failures, 'flow')} of {judged:,} lost or changed bytes between {ends}",
                judged=judged, failed=failures, evidence=tally.evidence, metrics=metrics,
            )  # fmt: skip
        if not judged:
            return inconclusive(self.name, "no payload byte was sent", metrics=metrics)
        unseen = int(np.count_nonzero(tally.unseen))
        if unseen:
            return inconclusive(
                self.name, f"{count(unseen, 'flow')}: bytes are missing from a capture that is no proof of it",
                judged=judged, evidence=tally.evidence, metrics=metrics,
            )  # fmt: skip
        if not (tally.bytes_compared or tally.bytes_blind):
            if not (tally.carried & ~_declined(trace)).any():
                return not_applicable(self.name, "the server accepted no connection: there was nothing to deliver")
            return inconclusive(
                self.name, f"no payload byte of {count(judged, 'flow')} arrived, and none had to", judged=judged,
                metrics=metrics,
            )  # fmt: skip
        if tally.bytes_blind:
            return inconclusive(
                self.name, f"{tally.bytes_blind:,} payload bytes were cut off by the capture's snap length",
                judged=judged, metrics=metrics,
            )  # fmt: skip
        return passed(
            self.name, f"{tally.bytes_compared:,} bytes of {count(judged, 'flow')} unchanged between {ends}",
            judged=judged, metrics=metrics,
        )  # fmt: skip


def delivery() -> Delivery:
    return Delivery()


def _with_openings(verdict: Verdict, tally: _Tally, opening: unanswered.Unanswered) -> Verdict:
    """The verdict on the bytes, and on the connections that were never answered."""
    assert tally.carried is not None
    lost, unclear, silent = (int(np.count_nonzero(one)) for one in (opening.lost, opening.unclear, opening.silent))
    judged = int(np.count_nonzero(tally.carried | opening.lost))
    metrics = {**verdict.metrics, "unanswered": lost, "server_silent": silent}
    if lost:
        also = f"; {verdict.summary}" if verdict.outcome is Outcome.FAIL else ""
        return failed(
            verdict.check, f"{count(lost, 'connection')} never answered: {opening.evidence[0].seen}{also}",
            judged=judged, failed=int(np.count_nonzero(tally.failed | opening.lost)),
            evidence=[*opening.evidence, *verdict.evidence], metrics=metrics,
        )  # fmt: skip
    if unclear and verdict.outcome is not Outcome.FAIL:
        return inconclusive(
            verdict.check,
            f"{count(unclear, 'connection')} without an answer, and no proof of where it was lost; {verdict.summary}",
            judged=judged, evidence=verdict.evidence, metrics=metrics,
        )  # fmt: skip
    told = f"; {count(silent, 'connection')} that the server itself left unanswered" if silent else ""
    return replace(verdict, summary=f"{verdict.summary}{told}", metrics=metrics)


def _declined(trace: Trace) -> Bools:
    """Flows whose SYN came to the server, which did not take it: nothing has to be delivered there."""
    last = max(trace.taps)
    asked = trace.first_rows(last, trace.to_server[last] & ((trace.taps[last].packets.flags & SYN) != 0)) >= 0
    return np.asarray(unaccepted(trace) & asked)


class _Change(NamedTuple):
    """A segment that came with other bytes: the receiver's row, the sender's, and the bytes as they were sent."""

    row: int
    origin: int
    sent: bytes


class _Direction:
    """One direction of all flows: what the sender's tap shows against what the receiver's does."""

    def __init__(self, trace: Trace, up: bool, tally: _Tally) -> None:
        self.trace, self.up, self.tally = trace, up, tally
        self.order = sorted(trace.taps, reverse=not up)
        self.sender, self.receiver = self.order[0], self.order[-1]
        self.views = {position: view(trace, position, trace.whole) for position in (self.sender, self.receiver)}
        self.sound = not complaints(trace, self.receiver)
        self.proven = self.sound and trace.taps[self.receiver].health is not None
        self.sender_proven = trace.taps[self.sender].health is not None and not complaints(trace, self.sender)

    def judge(self) -> None:
        sent = self._payload(self.sender)
        came = self._payload(self.receiver)
        assert self.tally.carried is not None
        self.tally.carried[sent.flow] = True
        sent_keys = keys(sent.flow, first_byte(sent), sent.length)
        came_keys = keys(came.flow, first_byte(came), came.length)
        known, first = np.unique(sent_keys, return_index=True)
        place = np.minimum(np.searchsorted(known, came_keys), max(len(known) - 1, 0))
        twin = known[place] == came_keys if len(known) else np.zeros(len(came), dtype=bool)
        changed = self._compare(came[twin], sent[first[place[twin]]] if len(known) else sent)
        odd = np.zeros(len(self.trace.whole), dtype=bool)
        odd[came.flow[~twin]] = True
        odd[sent.flow[~among(sent_keys, came_keys)]] = True
        limits = self._obligations()
        for flow in np.flatnonzero(odd):
            self._slowly(int(flow), sent, came, came[~twin], int(limits[flow]))
        self._report_changed(changed)
        self._between_ends(sent, sent_keys)

    def _between_ends(self, sent: View, sent_keys: NDArray[np.uint64]) -> None:
        """The taps on the way must show the bytes as they were sent, too."""
        known, first = np.unique(sent_keys, return_index=True)
        if not len(known):
            return
        for position in self.order[1:-1]:
            seen = view(self.trace, position, self.trace.whole)
            seen = seen[(seen.up == self.up) & (seen.length > 0) & seen.placed]
            key = keys(seen.flow, first_byte(seen), seen.length)
            place = np.minimum(np.searchsorted(known, key), len(known) - 1)
            twin = known[place] == key
            changed = self._compare(seen[twin], sent[first[place[twin]]], position)
            self._report_changed(changed, position)

    def _payload(self, position: Position) -> View:
        seen = self.views[position]
        return seen[(seen.up == self.up) & (seen.length > 0) & seen.placed]

    def _compare(self, came: View, sent: View, position: Position | None = None) -> list[_Change]:
        """Segments of equal ranges whose bytes differ, at the receiver's tap or at one on the way."""
        place = self.receiver if position is None else position
        here, there = self.trace.taps[place].packets, self.trace.taps[self.sender].packets
        changed = []
        for row, origin, length in zip(came.row.tolist(), sent.row.tolist(), came.length.tolist(), strict=True):
            one, other = here.payload(row), there.payload(origin)
            kept = min(len(one), len(other))
            if position is None:
                self.tally.bytes_compared += kept
                self.tally.bytes_blind += length - kept
            if one[:kept] != other[:kept]:
                changed.append(_Change(row, origin, other))
        return changed

    def _obligations(self) -> Ints:
        """For each flow the relative number up to which everything sent must have arrived."""
        seen = self.views[self.sender]
        limit = np.zeros(len(self.trace.whole), dtype=np.int64)
        backward = seen[(seen.up != self.up) & seen.acks & ~seen.has(RST)]
        np.maximum.at(limit, backward.flow, backward.ack)
        reset = np.zeros(len(limit), dtype=bool)
        for position in self.trace.taps:
            flow_of = self.trace.flow_of[position]
            reset[flow_of[(flow_of >= 0) & ((self.trace.taps[position].packets.flags & RST) != 0)]] = True
        health, time = self.trace.taps[self.sender].health, self.trace.taps[self.sender].packets.time
        ends = health.end_ns if health is not None and health.end_ns is not None else int(time.max(initial=0))
        until = np.where(reset, self._reset_at(), ends)
        old = seen[(seen.up == self.up) & seen.placed & (seen.time <= until[seen.flow] - GRACE_NS)]
        old = old[~_declined(self.trace)[old.flow]]
        np.maximum.at(limit, old.flow, old.end)
        return limit

    def _reset_at(self) -> Ints:
        """For each flow when its first RST passed the sender's tap; the beginning of time where none did."""
        packets, flow_of = self.trace.taps[self.sender].packets, self.trace.flow_of[self.sender]
        row = self.trace.first_rows(self.sender, (flow_of >= 0) & ((packets.flags & RST) != 0))
        return np.where(row >= 0, packets.time[np.maximum(row, 0)] if len(packets) else 0, GRACE_NS)

    def _slowly(self, flow: int, sent: View, came: View, odd: View, limit: int) -> None:
        """A flow whose segments were cut anew, or are missing: compare streams."""
        there = Stream(self.trace.taps[self.sender].packets, sent[sent.flow == flow])
        here = Stream(self.trace.taps[self.receiver].packets, came[came.flow == flow])
        packets = self.trace.taps[self.receiver].packets
        changed = []
        mine = odd[odd.flow == flow]
        for row, start, length in zip(mine.row.tolist(), first_byte(mine).tolist(), mine.length.tolist(), strict=True):
            origin = there.read(start, start + length)
            if origin is None:
                told = f"{length} bytes at relative {start} that {self.trace.taps[self.sender].name} never sent"
                self._fail(flow, self.receiver, [row], "bytes that were sent", told, proven=self.sender_proven)
                continue
            payload = packets.payload(row)
            kept = min(len(payload), origin[1])
            self.tally.bytes_compared += kept
            self.tally.bytes_blind += length - kept
            if payload[:kept] != origin[0][:kept]:
                changed.append(_Change(row, there.row_of(start) or 0, origin[0]))
        self._report_changed(changed)
        gaps = [gap for piece in there.pieces for gap in here.missing(piece.start, min(piece.end, limit))]
        if gaps:
            self._lost(flow, gaps, there)

    def _lost(self, flow: int, gaps: list[tuple[int, int]], there: Stream) -> None:
        start, end = gaps[0]
        size = sum(b - a for a, b in gaps)
        acked = self.views[self.receiver]
        acked = acked[(acked.flow == flow) & (acked.up != self.up) & acked.acks]
        taken = len(acked) > 0 and int(acked.ack.max()) >= end
        if not self.sound or (taken and not self.proven):
            self.tally.unseen[flow] = True  # the capture lost it, not the path: its end has acknowledged the bytes
        else:
            self.tally.failed[flow] = True
            self.tally.bytes_lost += size
        if len(self.tally.evidence) < 2 * SLOW_EVIDENCE:
            row = there.row_of(start)
            self.tally.evidence.append(
                of_rows(
                    self.trace, self.sender, [] if row is None else [row], flow=flow,
                    expected=f"relative bytes {start}..{end - 1} at {self.trace.taps[self.receiver].name}",
                    seen=f"{count(size, 'byte')} lost {self._where(flow, start)}",
                )
            )  # fmt: skip

    def _where(self, flow: int, at: int) -> str:
        """Between which taps the byte at relative ``at`` was lost."""
        previous = self.sender
        for position in self.order[1:]:
            if not self._stream(position, flow).covers(at, at + 1):
                return self._misaddressed(previous, flow, at) or self._between(previous, position)
            previous = position
        return self._between(previous, self.receiver)

    def _misaddressed(self, position: Position, flow: int, at: int) -> str:
        """On which hop, where the tap at its end saw the frame go by, addressed to somebody else. "" if it was not."""
        hop = next(hop for hop in HOPS if position in hop)
        tap, row = self.trace.taps[position], self._stream(position, flow).row_of(at)
        if position != hop[1 if self.up else 0] or tap.mac is None or row is None:
            return ""
        target = int(tap.packets.dst_mac[row])
        if target in (0, tap.mac):
            return ""
        ends = "--".join(self.trace.taps[end].name if end in self.trace.taps else end.host for end in hop)
        return f"on the hop {ends}: its frame is addressed to {mac_text(target)}, not to {mac_text(tap.mac)}"

    def _between(self, one: Position, other: Position) -> str:
        for box, sides in BOXES.items():
            if {one, other} == set(sides):
                return f"in {box}"
        return f"between {self.trace.taps[one].name} and {self.trace.taps[other].name}"

    def _stream(self, position: Position, flow: int) -> Stream:
        only = np.zeros(len(self.trace.whole), dtype=bool)
        only[flow] = True
        seen = view(self.trace, position, only)
        return Stream(self.trace.taps[position].packets, seen[(seen.up == self.up) & seen.placed])

    def _report_changed(self, changed: list[_Change], position: Position | None = None) -> None:
        place = self.receiver if position is None else position
        here, there = self.trace.taps[place].packets, self.trace.taps[self.sender].packets
        for number, (row, origin, then) in enumerate(changed):
            flow = int(self.trace.flow_of[place][row])
            known = bool(self.tally.failed[flow])
            self.tally.failed[flow] = True
            if number >= SLOW_EVIDENCE or (position is not None and known):
                continue
            now = here.payload(row)
            at = next((n for n, (a, b) in enumerate(zip(now, then, strict=False)) if a != b), 0)
            seen = view(self.trace, place, self.trace.whole)
            start = int(first_byte(seen[seen.row == row])[0])
            where = self._changed_where(flow, start + at, then[at : at + 1], place)
            sender = self.trace.taps[self.sender].file
            expected = f"byte {at} of the payload 0x{then[at]:02x}, as in frame {int(there.frame[origin])} of {sender}"
            self._fail(flow, place, [row], expected, f"0x{now[at]:02x}, changed {where}")

    def _changed_where(self, flow: int, at: int, value: bytes, place: Position) -> str:
        previous = self.sender
        for position in self.order[1 : self.order.index(place)]:
            found = self._stream(position, flow).read(at, at + 1)
            if found is not None and found[1] and found[0] != value:
                return self._between(previous, position)
            previous = position
        return self._between(previous, place)

    def _fail(
        self, flow: int, position: Position, rows: list[int], expected: str, seen: str, *, proven: bool = True
    ) -> None:
        """Count a failure; one that rests on what an unproven capture does not show leaves the flow undecided."""
        (self.tally.failed if proven else self.tally.unseen)[flow] = True
        if len(self.tally.evidence) < 2 * SLOW_EVIDENCE:
            self.tally.evidence.append(of_rows(self.trace, position, rows, expected=expected, seen=seen, flow=flow))
