"""The claim of ``--expect``: every whole flow was rewritten in the placement that was named, or in none ("plain").

Cannot prove: that it was done rightly, only what was done: that is for the other checks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools
from hopscope.errors import UsageError
from hopscope.wire.taps import Position
from hopscope.wire.trace import PLACEMENTS, Placement, Trace

CLAIMS = ("stamp", "hold", "plain", "early")


@dataclass(frozen=True)
class PlacementClaim:
    claim: str | None = None
    name: str = "placement"

    def __post_init__(self) -> None:
        if self.claim is not None and self.claim not in CLAIMS:
            raise UsageError(f"no placement {self.claim!r}: one of {', '.join(CLAIMS)}")

    def __call__(self, trace: Trace) -> Verdict:
        found = counts(trace)
        told = ", ".join(f"{number:,} {name}" for name, number in found.items()) or "no flow"
        metrics = {f"flows_{name}": number for name, number in found.items()}
        if self.claim is None:
            return not_applicable(self.name, f"nothing claimed; seen: {told}")
        judged = int(np.count_nonzero(trace.whole))
        if not judged:
            return inconclusive(self.name, "no flow lies wholly within the captures", metrics=metrics)
        if not any(position >= Position.CLIENTNIC_WAN for position in trace.taps):
            return inconclusive(
                self.name, "no capture beyond ClientNIC: who translates cannot be seen", metrics=metrics
            )
        claimed = PLACEMENTS.index(Placement(self.claim))
        other = np.flatnonzero(trace.whole & ((trace.placement != claimed) | _unanswered(trace)))
        if not len(other):
            return passed(
                self.name, f"{count(judged, 'flow')} {self.claim}, as claimed", judged=judged, metrics=metrics
            )
        unseen = trace.placement[other] == PLACEMENTS.index(Placement.UNKNOWN)
        if unseen.all() and not _answers_visible(trace):
            return inconclusive(
                self.name, f"claimed {self.claim}; the captures do not show it: {told}", metrics=metrics
            )
        return failed(
            self.name, f"claimed {self.claim}; seen: {told}", judged=judged, failed=len(other),
            evidence=[self._evidence(trace, int(flow)) for flow in other[:20]], metrics=metrics,
        )  # fmt: skip

    def _evidence(self, trace: Trace, index: int) -> Evidence:
        flow = trace.flows[index]
        seen = flow.placement.value if flow.placement is not Placement.UNKNOWN else "not to be seen"
        seen = "the client was never answered" if _unanswered(trace)[index] else seen
        position = next(place for place in trace.taps if flow.seen_at(place))
        rows = [*flow.syn_rows(position)[:1], *flow.synack_rows(position)[:2]]
        return of_rows(trace, position, rows, expected=str(self.claim), seen=seen, flow=index)


def placement(claim: str | None = None) -> PlacementClaim:
    """Raises UsageError for a placement that does not exist."""
    return PlacementClaim(claim)


def counts(trace: Trace) -> dict[str, int]:
    """Whole flows by inferred placement, those that occur."""
    numbers = np.bincount(trace.placement[trace.whole].astype(np.int64), minlength=len(PLACEMENTS))
    return {one.value: int(number) for one, number in zip(PLACEMENTS, numbers, strict=True) if number}


def _unanswered(trace: Trace) -> Bools:
    """Flows whose client got no SYN-ACK, where a tap on its side shows it."""
    visible = min(trace.taps) <= Position.CLIENTNIC_LAN
    return np.asarray((trace.answered_isn < 0) & visible)


def _answers_visible(trace: Trace) -> bool:
    """Whether a SYN-ACK could have been seen on both sides of the chain."""
    return min(trace.taps) <= Position.CLIENTNIC_LAN and max(trace.taps) >= Position.SERVERNIC_LAN
