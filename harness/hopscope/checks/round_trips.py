"""What each end has measured with its handshake is a round trip of the path, as its data show it.

An end that a box answers for the other takes the time to that box for the path's. Its first retransmission is timed by
it, and BBR, which paces by the least it has measured, falls to a fraction of the rate for ten seconds
(docs/congestion-control.md). That is the price of answering early and no fault in itself: among the standard checks a
verdict only for systems that promise to spare their ends (``promises: [round_trips]`` in the YAML of a SUT). What the
samples are is told of every trace (see ``observations``).

A flow's sample is wrong when it is less than half of the least time in which any flow's data were acknowledged to that
end, and by more than a millisecond. Whoever asked twice takes none, unless the answer echoes a timestamp (RFC 6298,
section 3; RFC 7323, section 4).

Cannot prove: what a stack makes of its sample, or that it takes one at all; nor anything of an end whose data nobody
acknowledged within the captures, or of a path where every acknowledgement waited longer than a round trip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, milliseconds, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.identities import promises
from hopscope.checks.sights import handshake_sample, path_sample
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools
from hopscope.wire.packets import ACK, RST, SYN
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

SLACK_NS = 1_000_000
"""What an acknowledgement may take longer than a handshake on any host: it waits for a program, or for more data."""

ENDS = ((Position.CLIENT, True), (Position.SERVER, False))


@dataclass(frozen=True)
class RoundTrips:
    promised: bool = False
    """Judge only a system that promises it."""
    name: str = "round_trips"

    def __call__(self, trace: Trace) -> Verdict:
        if self.promised and not promises(trace, self.name):
            return not_applicable(self.name, "nothing on the path promises that handshakes measure it")
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        faults = Faults(len(trace))
        judged = np.zeros(len(trace), dtype=bool)
        told = [said for end, up in ENDS if end in trace.taps and (said := self._judge(trace, end, up, judged, faults))]
        if not judged.any():
            return inconclusive(self.name, "no end shows both a handshake and data that were acknowledged")
        number, bad = int(np.count_nonzero(judged)), int(np.count_nonzero(faults.flows))
        summary = "; ".join(told)
        if bad:
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} with a sample that is not the path's: {summary}",
                judged=number, failed=bad, evidence=faults.evidence, metrics=faults.counts,
            )  # fmt: skip
        return passed(self.name, summary, judged=number)

    def _judge(self, trace: Trace, end: Position, up: bool, judged: Bools, faults: Faults) -> str:
        """What one end has measured, in words; empty where it shows nothing."""
        asked, path = handshake_sample(trace, end, up), path_sample(trace, end, up)
        known = path[(path >= 0) & trace.whole]
        sampled = (asked >= 0) & trace.whole & ~_without_sample(trace, end, up)
        if not len(known) or not sampled.any():
            return ""
        judged |= sampled
        least = int(known.min())
        wrong = np.flatnonzero(sampled & (2 * asked < least) & (least - asked > SLACK_NS))
        host = trace.taps[end].host
        faults.add(host, wrong)
        tap = trace.rows[end]
        first = tap.first(tap.syn if up else tap.synack)
        for flow in wrong[:20].tolist():
            faults.show(of_rows(
                trace, end, [int(first[flow])], flow=flow,
                expected=f"a handshake of about {milliseconds(least)}, the least that data took",
                seen=f"{milliseconds(int(asked[flow]))}",
            ))  # fmt: skip
        return (
            f"{host} measured {milliseconds(float(np.median(asked[sampled])))} "
            f"(median of {count(int(sampled.sum()), 'flow')}), its data took {milliseconds(least)} at least"
        )


def round_trips(*, promised: bool = False) -> RoundTrips:
    return RoundTrips(promised)


def _without_sample(trace: Trace, end: Position, up: bool) -> Bools:
    """Flows whose end had asked twice when it was answered, by an answer that echoes no timestamp."""
    tap, packets = trace.rows[end], trace.taps[end].packets
    mine = tap.syn if up else tap.synack
    again = mine.copy()
    first = tap.first(mine)
    again[first[first >= 0]] = False
    second = tap.first(again)
    answer = tap.first(tap.synack if up else (packets.flags & (ACK | SYN | RST) == ACK) & tap.to_server)
    out = (second >= 0) & (answer >= 0)
    out[out] = (packets.time[second[out]] < packets.time[answer[out]]) & (packets.tsecr[answer[out]] <= 0)
    return np.asarray(out)
