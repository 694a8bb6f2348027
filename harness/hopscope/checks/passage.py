"""Nothing with payload or FIN comes out of a box more often than it went in.

What a box has lost, TCP repairs; it is told with every judgement (``observations``), and lost for good it fails
``delivery``. What a box has changed fails ``translation`` and ``delivery``. A copy that a box has made fails here.

Cannot prove: that nothing was lost, and nothing of bare acknowledgements, of which a box may send its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.correlation import Kind, correlate
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import rewritten, server_answered, unaccepted
from hopscope.wire.trace import Trace


@dataclass(frozen=True)
class Passage:
    claim: str | None = None
    name: str = "passage"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        flows = rewritten(trace, self.claim) & ~server_answered(trace)
        if self.claim == "plain" or not (flows & ~unaccepted(trace)).any():
            return not_applicable(self.name, "no box translates for a server that answers")
        faults, judged, segments = Faults(len(flows)), np.zeros(len(flows), bool), 0
        for way in correlate(trace):
            if not way.stretch.boxes:
                continue
            segments += int(np.count_nonzero(flows[way.came]))
            judged[way.came] = True
            made = [each for each in way.of(Kind.CREATED) if flows[each.flow]]
            if not way.proven:
                faults.miss(trace.taps[way.source].file, len(made))
                continue
            faults.add(f"made {way.place}", np.array([each.flow for each in made], np.int64))
            for each in made:
                if faults.full:
                    break
                faults.show(
                    of_rows(
                        trace, each.seen_at, [each.row], flow=each.flow, expected="as many copies as went in",
                        seen=f"relative bytes {each.start}..{each.end - 1} once more, made {way.place}",
                    )
                )  # fmt: skip
        return self._verdict(int(np.count_nonzero(judged & flows)), segments, faults)

    def _verdict(self, number: int, segments: int, faults: Faults) -> Verdict:
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {number:,} with segments that nobody sent: {kinds}", judged=number,
                failed=bad, evidence=faults.evidence, metrics={"segments": segments, **faults.counts},
            )  # fmt: skip
        if faults.unseen:
            missed = ", ".join(f"{tap} ({n:,})" for tap, n in faults.unseen.items())
            return inconclusive(
                self.name, f"segments came out of boxes and no capture proves that they did not go in: {missed}",
                judged=number,
            )  # fmt: skip
        if not segments:
            return inconclusive(self.name, "no box with traffic was captured on both of its sides")
        return passed(
            self.name, f"{segments:,} segments of {count(number, 'flow')} went in before they came out", judged=number,
            metrics={"segments": segments},
        )  # fmt: skip


def passage(claim: str | None = None) -> Passage:
    return Passage(claim)
