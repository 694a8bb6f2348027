"""Is every segment translated by its flow's constant, and nothing else changed?

Each segment that leaves a box is held against those that entered it, in numbers relative to the ISN of each side (see
``view``): on the translating box the server's space starts at V on one side and at R on the other, so that a constant
delta makes the numbers equal; through the other box, and over the links, they must be equal as they are. Judged are

seq      of every segment, both directions; a box may cut segments anew, if the bytes are the same;
ack      of every segment; a box may acknowledge by itself (it completes handshakes, it takes early data), but only at
         the end of a segment that it has seen;
SACK     every edge;
TSval    shifted by one constant per flow towards the client, TSecr by the same constant back (RFC 7323);
stamp    in the ack field of every SYN on the WAN, and zeroed before the server;
SYN-ACK  acknowledges the client's ISN + 1.

Cannot prove: that bytes arrive: a segment that never came out of the box has nothing to be held against; that is for
``delivery``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks import handshake, timestamps
from hopscope.checks.alike import alike
from hopscope.checks.crossing import Crossing
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.live import untouched
from hopscope.checks.stretch import between
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import (
    Bools,
    placed,
    rewritten,
    server_answered,
    unaccepted,
)
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
        flows, idle = rewritten(trace), untouched(trace)
        if not (flows | idle).any():
            if (trace.whole & placed(trace, Placement.PLAIN)).any():
                return not_applicable(self.name, "plain TCP: nothing is translated")
            return inconclusive(self.name, "the captures do not show whether anything is translated")
        behind = flows & server_answered(trace)
        flows = flows & ~behind
        if not (flows | idle).any():
            return inconclusive(self.name, f"{count(int(behind.sum()), 'flow')} carried by the kernel: see carried_by")
        if not (flows & ~unaccepted(trace) | idle).any():
            return not_applicable(self.name, "the server accepted no connection: there was nothing to translate")
        faults = Faults(len(flows))
        _untranslated(trace, idle, faults)
        handshake.judge(trace, flows, faults)
        crossed = np.zeros(len(flows), dtype=bool)
        translated = crossed.copy()
        segments = 0
        crossings = sorted(between(trace), key=lambda way: not way.boxes)  # boxes first: a link is seldom to blame
        for way in crossings:
            if all(alike(trace, way, up) for up in (True, False)):
                continue
            judged = flows if way.boxes else flows & ~faults.flows
            up_way, down_way = (Crossing(trace, way, up, judged) for up in (True, False))
            for crossing in (up_way, down_way):
                crossing.judge(faults)
                if not way.boxes:
                    continue
                crossed[crossing.after.flow] = True
                translated |= crossing.moves & crossed
                segments += len(crossing.after)
            timestamps.agree(trace, up_way.after, up_way.shift, down_way.shift, faults)
        boxes = [box for way in crossings for box in way.boxes]
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
        if faults.unseen:
            missed = ", ".join(f"{tap} ({n:,})" for tap, n in faults.unseen.items())
            return inconclusive(
                self.name, f"segments came out of where no capture saw them go in: missed by {missed}",
                judged=number, evidence=faults.evidence, metrics=metrics,
            )  # fmt: skip
        if not boxes or not number:
            return inconclusive(self.name, "no box was captured on both of its sides", metrics=metrics)
        if not translated.any():
            return inconclusive(self.name, "the translating box was not captured on both of its sides", metrics=metrics)
        return passed(
            self.name, f"{segments:,} segments of {count(number, 'flow')} through {' and '.join(boxes)}", judged=number,
            metrics=metrics,
        )  # fmt: skip


def _untranslated(trace: Trace, flows: Bools, faults: Faults) -> None:
    """Flows that a system was on the path to translate, and that came back as plain TCP."""
    here = min(trace.taps)
    faults.add("not translated", np.flatnonzero(flows))
    for flow in np.flatnonzero(flows).tolist():
        if faults.full:
            return
        rows = trace.flows[flow].synack_rows(here)[:1]
        expected, seen = "the numbers of the system on the path", "the server's own numbers"
        faults.show(of_rows(trace, here, rows, flow=flow, expected=expected, seen=seen))


def translation(claim: str | None = None) -> Translation:
    return Translation(claim)
