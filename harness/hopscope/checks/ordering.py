"""Was the client answered before the server could have been?

Three clauses, each judged where the captures allow it:

box     on ClientNIC's own clock, the SYN-ACK leaves its client port before anything that answers this SYN arrives at
        its WAN port;
client  on the client's clock, the first payload leaves less than one minimum WAN round trip after the SYN;
clock   where all hosts share a clock, the SYN-ACK reaches the client before the server's real one could have: its
        time at the translating box plus the trace's minimum transit from there.

A flow fails when any clause that was judged fails. A first payload that is late although the client was free in time
(a SYN-ACK that it accepted was there, the window open) was held back by its own application: such a flow is undecided.

Cannot prove: that the box was quick enough for a shorter round trip than the captures have. Where hosts share no clock,
the clause of the clock is not judged, and below 1 ms of round trip not that of the client. One flow in twenty may stay
undecided.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.evidence import count, milliseconds, of_rows
from hopscope.checks.live import untouched
from hopscope.checks.transit import minimum_transit, minimum_wan_rtt
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, placed, rewritten, translated_at
from hopscope.wire.packets import ACK, RST, SYN
from hopscope.wire.seq import add
from hopscope.wire.taps import Position
from hopscope.wire.trace import Placement, Trace

RESOLVABLE_NS = 1_000_000
"""Round trips under a millisecond are shorter than what an end host itself needs: the client's clause says nothing."""

UNDECIDED_SHARE = 0.05
"""More flows than this without a decision make the verdict INCONCLUSIVE."""


@dataclass
class _Tally:
    """What the clauses found, by flow."""

    judged: Bools
    failed: Bools
    undecided: Bools
    evidence: list[Evidence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    clauses: int = 0


@dataclass(frozen=True)
class Ordering:
    claim: str | None = None
    name: str = "ordering"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        if self.claim == "plain":
            return not_applicable(self.name, "plain TCP is claimed")
        served = untouched(trace)
        flows = rewritten(trace, self.claim) | served
        if not flows.any():
            if (trace.whole & placed(trace, Placement.PLAIN)).any():
                return not_applicable(self.name, "plain TCP: the server itself answers")
            return inconclusive(self.name, "the captures do not show who answered")
        none = np.zeros(len(flows), dtype=bool)
        tally = _Tally(none.copy(), none.copy(), none.copy())
        _served(trace, served, tally)
        _box_clause(trace, flows, tally)
        _client_clause(trace, flows, tally)
        _clock_clause(trace, flows, tally)
        return self._verdict(flows, tally)

    def _verdict(self, flows: Bools, tally: _Tally) -> Verdict:
        judged, failures = int(np.count_nonzero(tally.judged)), int(np.count_nonzero(tally.failed))
        undecided = int(np.count_nonzero(flows & (tally.undecided | ~tally.judged) & ~tally.failed))
        metrics = {"undecided": undecided, "clauses": tally.clauses}
        notes = "; " + "; ".join(tally.notes) if tally.notes else ""
        if failures:
            return failed(
                self.name, f"{count(failures, 'flow')} of {judged:,} answered too late{notes}", judged=judged,
                failed=failures, evidence=tally.evidence, metrics=metrics,
            )  # fmt: skip
        if not judged or undecided > UNDECIDED_SHARE * np.count_nonzero(flows):
            return inconclusive(
                self.name, f"{count(undecided, 'flow')} of {np.count_nonzero(flows):,} undecided{notes}",
                judged=judged, evidence=tally.evidence, metrics=metrics,
            )  # fmt: skip
        return passed(
            self.name, f"{count(judged, 'flow')} answered before the server could{notes}", judged=judged,
            metrics=metrics,
        )  # fmt: skip


def ordering(claim: str | None = None) -> Ordering:
    return Ordering(claim)


def _served(trace: Trace, flows: Bools, tally: _Tally) -> None:
    """Flows that a system was there to answer, and that the server itself answered."""
    if not flows.any():
        return
    here = min(trace.taps)
    tally.judged |= flows
    tally.failed |= flows
    tally.notes.append(f"{count(int(flows.sum()), 'flow')} answered by the server itself, with a system on the path")
    for flow in np.flatnonzero(flows)[:10]:
        expected, seen = "an answer of the system on the path", "the server itself answered"
        rows = trace.flows[int(flow)].synack_rows(here)[:1]
        tally.evidence.append(of_rows(trace, here, rows, flow=int(flow), expected=expected, seen=seen))


def _box_clause(trace: Trace, flows: Bools, tally: _Tally) -> None:
    lan, wan = Position.CLIENTNIC_LAN, Position.CLIENTNIC_WAN
    if lan not in trace.taps or wan not in trace.taps:
        tally.notes.append("ClientNIC's two ports were not both captured")
        return
    tally.clauses += 1
    answer = trace.first_rows(lan, _synack(trace, lan))
    comes = trace.first_rows(wan, _downward(trace, wan))
    left, arrived = _times(trace, lan, answer), _times(trace, wan, comes)
    seen = flows & (answer >= 0)
    silent = flows & (answer < 0) & (comes >= 0)
    tally.judged |= seen | silent
    late = seen & (comes >= 0) & (left > arrived)
    tally.undecided |= seen & (comes >= 0) & (left == arrived)
    for flow in np.flatnonzero(late | silent)[:10]:
        rows = [int(answer[flow])] if answer[flow] >= 0 else []
        when = f"{milliseconds(left[flow] - arrived[flow])} after it" if rows else "no SYN-ACK at all"
        number = int(trace.taps[wan].packets.frame[comes[flow]])
        tally.evidence.append(
            of_rows(
                trace,
                lan,
                rows,
                flow=int(flow),
                expected=f"SYN-ACK out of the client port before frame {number} of {trace.taps[wan].file} came in",
                seen=when,
            )
        )
    tally.failed |= late | silent


def _client_clause(trace: Trace, flows: Bools, tally: _Tally) -> None:
    here = Position.CLIENT
    if here not in trace.taps:
        tally.notes.append("the client was not captured")
        return
    limit = minimum_wan_rtt(trace)
    if limit is None:
        tally.notes.append("no WAN round trip could be measured")
        return
    if limit < RESOLVABLE_NS:
        tally.notes.append(f"client's clause not judged: a round trip of {milliseconds(limit)} cannot be resolved")
        return
    tally.clauses += 1
    packets, up = trace.taps[here].packets, trace.to_server[here]
    syn = trace.first_rows(here, up & ((packets.flags & (SYN | ACK)) == SYN))
    spoke = trace.first_rows(here, up & (packets.payload_len > 0) & ((packets.flags & SYN) == 0))
    heard = trace.first_rows(here, _unprompted(trace, here))
    free = _freed(trace, here)
    started, first = _times(trace, here, syn), _times(trace, here, spoke)
    server_first = (heard >= 0) & (spoke >= 0) & (_times(trace, here, heard) < first)
    tally.undecided |= flows & (trace.first_rows(here, _synack(trace, here)) < 0)
    judged = flows & (syn >= 0) & (spoke >= 0) & ~server_first
    late = judged & (first - started >= limit)
    idle = late & (free >= 0) & (free - started < limit)
    tally.judged |= judged & ~idle
    tally.undecided |= idle
    if idle.any():
        tally.notes.append(f"in {count(int(idle.sum()), 'flow')} the client was free in time and spoke late")
    for flow in np.flatnonzero(late & ~idle)[:10]:
        tally.evidence.append(
            of_rows(
                trace,
                here,
                [syn[flow], spoke[flow]],
                expected=f"first payload less than {milliseconds(limit)} (minimum WAN round trip) after the SYN",
                seen=f"{milliseconds(first[flow] - started[flow])}{_window_note(trace, here, int(flow))}",
            )
        )
    tally.failed |= late & ~idle


def _clock_clause(trace: Trace, flows: Bools, tally: _Tally) -> None:
    here = Position.CLIENT
    if not trace.same_clock or here not in trace.taps:
        return
    answer = trace.first_rows(here, _synack(trace, here))
    reached = _times(trace, here, answer)
    for box, source in (("clientnic", Position.CLIENTNIC_WAN), ("servernic", Position.SERVERNIC_LAN)):
        mine = flows & translated_at(trace, box)
        if source not in trace.taps or not mine.any():
            continue
        transit = minimum_transit(trace, source, here)
        if transit is None:
            continue
        tally.clauses += 1
        packets = trace.taps[source].packets
        isn = np.where(trace.flow_of[source] >= 0, trace.real_isn[trace.flow_of[source]], -1)
        real = trace.first_rows(source, _synack(trace, source) & (packets.seq == isn))
        could = _times(trace, source, real) + transit
        judged = mine & (answer >= 0) & (real >= 0)
        late = judged & (reached >= could)
        tally.judged |= judged
        for flow in np.flatnonzero(late)[:10]:
            tally.evidence.append(
                of_rows(
                    trace,
                    here,
                    [answer[flow]],
                    expected="SYN-ACK at the client before the server's real one could have been there",
                    seen=f"{milliseconds(reached[flow] - could[flow])} after that",
                )
            )
        tally.failed |= late


def _freed(trace: Trace, here: Position) -> Ints:
    """When the client could send: there was the SYN-ACK that it acknowledged, then or later, and the peer's window was
    open. Time, or -1."""
    packets, up, flow_of = trace.taps[here].packets, trace.to_server[here], trace.flow_of[here]
    acked = trace.first_rows(here, up & ((packets.flags & (SYN | RST | ACK)) == ACK))
    ours = (flow_of >= 0) & (acked[flow_of] >= 0)
    accepted = trace.first_rows(
        here, _synack(trace, here) & ours & (packets.ack[acked[flow_of]] == add(packets.seq, 1))
    )
    opened = trace.first_rows(here, ~up & ((packets.flags & (RST | ACK)) == ACK) & (packets.window > 0))
    moment = np.maximum(_times(trace, here, accepted), _times(trace, here, opened))
    return np.where((accepted >= 0) & (opened >= 0), moment, -1)


def _unprompted(trace: Trace, here: Position) -> Bools:
    """Payload of a server that speaks first: it acknowledges nothing but the SYN."""
    packets, flow_of = trace.taps[here].packets, trace.flow_of[here]
    greeting = packets.ack == add(trace.client_isn[flow_of], 1)
    return np.asarray((flow_of >= 0) & ~trace.to_server[here] & (packets.payload_len > 0) & greeting)


def _window_note(trace: Trace, here: Position, flow: int) -> str:
    rows = trace.flows[flow].synack_rows(here)
    closed = len(rows) > 0 and int(trace.taps[here].packets.window[rows[0]]) == 0
    return ": the SYN-ACK had a zero window, and nothing opened it in time" if closed else ""


def _synack(trace: Trace, position: Position) -> Bools:
    flags = trace.taps[position].packets.flags
    return np.asarray(~trace.to_server[position] & ((flags & (SYN | ACK)) == SYN | ACK))


def _downward(trace: Trace, position: Position) -> Bools:
    return np.asarray(~trace.to_server[position] & (trace.flow_of[position] >= 0))


def _times(trace: Trace, position: Position, rows: NDArray[np.int64]) -> Ints:
    """Times of rows, -1 where a row is -1."""
    time = trace.taps[position].packets.time
    if not len(time):
        return np.full(len(rows), -1, dtype=np.int64)
    return np.where(rows >= 0, time[np.maximum(rows, 0)], -1)
