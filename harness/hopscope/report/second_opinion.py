"""tshark's view of a sample of flows, held against ours: checksums, flows, retransmissions.

No verdict rests on tshark: where the two disagree one of them is wrong, nobody knows which, and the answer is
INCONCLUSIVE with both views shown. What is compared, at every tap, over the first segments of each sampled flow:

- the same frames are TCP segments of these addresses and ports, and no others;
- one flow of ours is one stream of tshark's, and the other way round;
- the same IPv4 and TCP checksums are good, bad or not to be verified;
- the same segments start below the highest number that their sender has reached (resent, out of order, keep-alive:
  which of them is a guess from timing that tshark makes and we do not).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.evidence import count, display_filter, of_rows
from hopscope.checks.verdict import Evidence, Verdict, inconclusive, passed
from hopscope.errors import EnvironmentFault
from hopscope.report.dissect import BAD, GOOD, UNVERIFIED, Dissected, dissect
from hopscope.wire.packets import FIN, RST, SYN, ChecksumState
from hopscope.wire.seq import distance
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

NAME = "second_opinion"
SEGMENTS = 60
"""Of one flow at one tap: pyshark takes milliseconds for each."""

BELOW = frozenset({"retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order", "keep_alive"})
"""tshark's words for a segment that starts below the highest number reached."""

STATES = {
    ChecksumState.GOOD: ("good", {GOOD}),
    ChecksumState.BAD: ("bad", {BAD}),
    ChecksumState.UNVERIFIABLE: ("not to be verified", {UNVERIFIED}),
}
WORDS = {BAD: "bad", GOOD: "good", UNVERIFIED: "not verified", None: "no checksum"}

Ask = Callable[[Mapping[Path, str]], Mapping[Path, tuple[Dissected, ...]]]


def second_opinion(trace: Trace, *, sample: int = 20, ask: Ask = dissect) -> Verdict:
    """PASS when tshark agrees about ``sample`` flows, spread evenly over the trace; else INCONCLUSIVE.

    ``ask`` is who dissects.
    """
    flows = _sampled(len(trace), sample)
    taps = {position: tap for position, tap in trace.taps.items() if not tap.packets.truncated}
    left_out = [tap.file for position, tap in trace.taps.items() if position not in taps]
    if not len(flows) or not taps:
        why = "no flow" if taps else "every capture ends in the middle of a record"
        return inconclusive(NAME, f"nothing to ask tshark about: {why}")
    parts = {position: _Part(trace, position, flows) for position in taps}
    asked = {position: part for position, part in parts.items() if len(part.rows)}
    if not asked:
        return inconclusive(NAME, "nothing to ask tshark about: no segment of the sampled flows")
    try:
        answers = ask({Path(taps[position].packets.path): part.filter for position, part in asked.items()})
    except EnvironmentFault as fault:
        return inconclusive(NAME, f"tshark could not be asked: {fault.message}")
    evidence: list[Evidence] = []
    for position, part in asked.items():
        evidence += part.compare(answers[Path(taps[position].packets.path)])
    segments = sum(len(part.rows) for part in asked.values())
    resent = sum(int(part.below.sum()) for part in asked.values())
    scope = f"{segments:,} segments of {count(len(flows), 'flow')} at {count(len(asked), 'tap')}"
    note = f"; not asked about {', '.join(left_out)}: cut short" if left_out else ""
    metrics = {"segments": segments, "flows": len(flows), "resent": resent, "disagreements": len(evidence)}
    if evidence:
        first = evidence[0]
        return inconclusive(
            NAME,
            f"tshark disagrees {count(len(evidence), 'time')} over {scope}; first: ours {first.expected}, "
            f"tshark's {first.seen}{note}",
            judged=segments, evidence=evidence, metrics=metrics,
        )  # fmt: skip
    told = f"tshark agrees on checksums, flows and {resent:,} resent or reordered segments: {scope}{note}"
    return passed(NAME, told, judged=segments, metrics=metrics)


def _sampled(flows: int, sample: int) -> NDArray[np.int64]:
    """Indices spread evenly, first and last among them."""
    return np.unique(np.linspace(0, flows - 1, min(flows, max(sample, 0))).round().astype(np.int64))


class _Part:
    """The sampled flows at one tap: our view as arrays aligned with ``rows``, which are in the order of the file."""

    def __init__(self, trace: Trace, position: Position, flows: NDArray[np.int64]) -> None:
        self.trace, self.position = trace, position
        packets, flow_of = trace.taps[position].packets, trace.flow_of[position]
        clauses, kept = [], np.zeros(len(packets), np.bool_)
        for flow in flows:
            # Ports may have been used before: the filter selects all of their flows, so all are compared.
            ends = np.hstack([trace.client_end, trace.server_end])
            same = np.append((ends == ends[flow]).all(axis=1), False)
            rows = np.flatnonzero(same[flow_of])
            if not len(rows):
                continue
            last = int(np.sort(packets.frame[rows])[:SEGMENTS][-1])
            kept[rows[packets.frame[rows] <= last]] = True
            clauses.append(f"({display_filter(trace, int(flow))} && frame.number <= {last})")
        rows = np.flatnonzero(kept)
        self.rows = rows[np.argsort(packets.frame[rows], kind="stable")]
        self.filter = f"tcp && !icmp && !icmpv6 && ({' || '.join(dict.fromkeys(clauses))})"
        self.frame = packets.frame[self.rows]
        self.flow = flow_of[self.rows]
        self.carries = np.zeros(len(self.rows), np.bool_)
        """Aligned with the rows: the segment takes up sequence numbers."""
        self.untold = np.zeros(len(self.rows), np.bool_)
        """Data that comes again behind a SYN which its first copy had overtaken: new or not, tshark says either."""
        self.below = self._below()

    def _below(self) -> NDArray[np.bool_]:
        """Segments that start below the highest number that their sender has reached in this flow at this tap."""
        packets, up = self.trace.taps[self.position].packets, self.trace.to_server[self.position]
        out = np.zeros(len(self.rows), np.bool_)
        reached: dict[tuple[int, bool], int] = {}
        overtook: dict[tuple[int, bool], int] = {}
        for at, row in enumerate(self.rows):
            flags = int(packets.flags[row])
            if flags & RST:
                continue
            length = int(packets.payload_len[row]) + bool(flags & SYN) + bool(flags & FIN)
            side = int(self.flow[at]), bool(up[row])
            start = int(packets.seq[row])
            end = (start + length) % 2**32
            high = reached.get(side)
            self.carries[at] = length > 0
            out[at] = length > 0 and high is not None and _distance(start, high) < 0
            if flags & SYN and out[at] and high is not None:
                overtook[side] = high
            elif side in overtook:
                self.untold[at] = length > 0 and _distance(start, overtook[side]) < 0
            if high is None or _distance(end, high) > 0:
                reached[side] = end
        return out

    def compare(self, theirs: tuple[Dissected, ...]) -> list[Evidence]:
        """Every disagreement, with both views."""
        known = {segment.frame: segment for segment in theirs}
        found = self._frames(known)
        stream_of: dict[int, int] = {}
        flow_of: dict[int, int] = {}
        for at, frame in enumerate(self.frame):
            segment = known.get(int(frame))
            if segment is None:
                continue
            flow = int(self.flow[at])
            if stream_of.setdefault(flow, segment.stream) != segment.stream:
                found.append(self._say(at, "the same flow as before", f"stream {segment.stream}, another one"))
            if flow_of.setdefault(segment.stream, flow) != flow:
                found.append(self._say(at, "another flow of the same ports", f"stream {segment.stream}, as before"))
            found += self._checksums(at, segment)
            # An empty segment that was overtaken by a FIN has the number of a keep-alive.
            marks = sorted(segment.analysis & BELOW - (set() if self.carries[at] else {"keep_alive"}))
            if not self.untold[at] and bool(marks) != bool(self.below[at]):
                views = ("new data", "data below the highest number sent")
                found.append(self._say(at, views[int(self.below[at])], ", ".join(marks) or "new data"))
        return found

    def _frames(self, known: Mapping[int, Dissected]) -> list[Evidence]:
        ours = {int(frame): at for at, frame in enumerate(self.frame)}
        found = [
            self._say(at, "a TCP segment of this flow", "no segment of these ports")
            for frame, at in ours.items()
            if frame not in known
        ]
        tap = self.trace.taps[self.position].file
        found += [
            Evidence(None, tap, (frame,), "no segment of a sampled flow", f"a segment of stream {known[frame].stream}")
            for frame in known
            if frame not in ours
        ]
        return found

    def _checksums(self, at: int, segment: Dissected) -> list[Evidence]:
        packets, row = self.trace.taps[self.position].packets, self.rows[at]
        tcp = ChecksumState.UNVERIFIABLE if packets.cut[row] else packets.l4_checksum[row]
        found = []
        for layer, ours, theirs in (
            ("IPv4", packets.ip_checksum[row], segment.ip_checksum),
            ("TCP", tcp, segment.tcp_checksum),
        ):
            # What was left to hardware or is malformed, each calls what it likes.
            if ours not in STATES:
                continue
            word, accepted = STATES[ChecksumState(ours)]
            if theirs not in accepted:
                found.append(self._say(at, f"{layer} checksum {word}", f"{layer} checksum {WORDS.get(theirs, theirs)}"))
        return found

    def _say(self, at: int, ours: str, theirs: str) -> Evidence:
        row = int(self.rows[at])
        return of_rows(self.trace, self.position, [row], expected=ours, seen=theirs, flow=int(self.flow[at]))


def _distance(one: int, other: int) -> int:
    """Signed distance of sequence numbers."""
    return int(distance(np.array([one]), np.array([other]))[0])
