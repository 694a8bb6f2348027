"""Who carried the flow: the box that should translate it, or a kernel behind the box's back.

Carried by the kernel means that the server's real SYN-ACK, or a segment without its flow's delta, crosses the box that
should translate. It is judged from what crosses, never from who forwards: a program in the kernel may well route what
it has rewritten.

Cannot prove: how a box forwards. A program that lets the kernel route what it has rewritten, and one that sends by
itself, look the same. Where the server's real ISN was not captured, a second SYN-ACK is all that would show it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.died import died
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.live import owned
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, among, answered_twice, keys, placed, rewritten, translated_at, unaccepted, view
from hopscope.wire.packets import ACK, RST, SYN
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Placement, Trace

NAME = "carried_by"


@dataclass(frozen=True)
class CarriedBy:
    """``claim``: the placement that all flows are said to have; flows that were not touched are then failures.

    Without a claim, what the run recorded of its system's times (see ``live``) says which flows were to be rewritten.
    """

    claim: str | None = None
    name: str = NAME

    def __call__(self, trace: Trace) -> Verdict:
        dead = died(trace)
        if dead:
            whole = int(np.count_nonzero(trace.whole))
            told = "; ".join(dict.fromkeys(each.seen for each in dead))
            return failed(self.name, told, judged=whole, failed=len(dead), evidence=dead)
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        if self.claim == "plain":
            return not_applicable(self.name, "plain TCP is claimed: the kernel is to carry it")
        concerned = rewritten(trace, self.claim)
        mine = owned(trace)
        if mine is not None and self.claim is None:
            concerned = concerned | (trace.whole & mine)
        if not concerned.any():
            if (trace.whole & placed(trace, Placement.PLAIN)).any():
                return not_applicable(self.name, "plain TCP on every flow, and nothing claimed")
            return inconclusive(self.name, "the captures do not show whether a box answered")
        if not (concerned & ~unaccepted(trace)).any():
            return not_applicable(self.name, "the server accepted no connection: there was nothing to carry")
        evidence: list[Evidence] = []
        carried = np.zeros(len(concerned), dtype=bool)
        judged = np.zeros(len(concerned), dtype=bool)
        for box, flows in self._boxes(trace, concerned).items():
            near, far = _sides(trace, box)
            if near is None:
                continue
            judged |= flows & (trace.real_isn >= 0)
            crossed, shown = _real_answers(trace, near, flows)
            carried |= crossed
            evidence += shown
            if far is not None:
                crossed, shown = _untranslated(trace, near, far, flows & (trace.delta > 0) & ~carried)
                carried |= crossed
                evidence += shown
        crossed, shown = _two_answers(trace, concerned & (trace.real_isn < 0))
        judged, carried = judged | crossed, carried | crossed
        evidence += shown
        untold = trace.whole & placed(trace, Placement.PLAIN) & ~carried if mine is None else np.zeros_like(carried)
        return self._verdict(judged, carried, untold, evidence)

    def _boxes(self, trace: Trace, concerned: Bools) -> dict[str, Bools]:
        """Which box should translate which flows: as seen or implied; the rest by the claim, else ClientNIC."""
        boxes = {box: concerned & translated_at(trace, box) for box in BOXES}
        rest = concerned & ~boxes["clientnic"] & ~boxes["servernic"]
        boxes["servernic" if self.claim in ("stamp", "early") else "clientnic"] |= rest
        return boxes

    def _verdict(self, judged: Bools, carried: Bools, untold: Bools, evidence: list[Evidence]) -> Verdict:
        number, failures = int(np.count_nonzero(judged)), int(np.count_nonzero(carried))
        untouched = int(np.count_nonzero(untold))
        metrics = {"carried_by_kernel": failures, "plain_untold": untouched}
        if failures:
            return failed(
                self.name, f"{count(failures, 'flow')} of {number:,} carried by the kernel", judged=number,
                failed=failures, evidence=evidence, metrics=metrics,
            )  # fmt: skip
        if not number:
            return inconclusive(self.name, "the server's real ISN was not captured", metrics=metrics)
        if untouched:
            return inconclusive(
                self.name,
                f"{count(number, 'flow')} rewritten, {untouched:,} plain: a claim must say whether those were to be",
                judged=number, metrics=metrics,
            )  # fmt: skip
        return passed(self.name, f"{count(number, 'flow')} carried by the box", judged=number, metrics=metrics)


def carried_by(claim: str | None = None) -> CarriedBy:
    return CarriedBy(claim)


def _sides(trace: Trace, box: str) -> tuple[Position | None, Position | None]:
    """The taps next to a box on the client's and the server's side, as near as there are."""
    near, far = BOXES[box]
    return (
        max((position for position in trace.taps if position <= near), default=None),
        min((position for position in trace.taps if position >= far), default=None),
    )


def _real_answers(trace: Trace, near: Position, flows: Bools) -> tuple[Bools, list[Evidence]]:
    """Flows whose real SYN-ACK, of ISN R, was seen on the client's side of the box, and the frames."""
    packets, flow_of = trace.taps[near].packets, trace.flow_of[near]
    answers = np.flatnonzero((flow_of >= 0) & ~trace.to_server[near] & ((packets.flags & (SYN | ACK)) == SYN | ACK))
    index = flow_of[answers]
    real = flows[index] & (trace.real_isn[index] >= 0) & (packets.seq[answers] == trace.real_isn[index])
    crossed = np.zeros(len(flows), dtype=bool)
    crossed[index[real]] = True
    evidence = [
        of_rows(
            trace, near, [row], expected="only the box's own SYN-ACK on this side",
            seen=f"the server's real SYN-ACK, ISN {int(packets.seq[row])}",
        )
        for row in answers[real][:10]
    ]  # fmt: skip
    return crossed, evidence


def _two_answers(trace: Trace, flows: Bools) -> tuple[Bools, list[Evidence]]:
    """Flows that got SYN-ACKs of two ISNs, where no tap shows which of them is the server's."""
    twice = flows & answered_twice(trace)
    evidence = []
    for flow in np.flatnonzero(twice)[:10]:
        position = min(trace.taps)
        rows = trace.flows[flow].synack_rows(position)
        isns = ", ".join(str(int(isn)) for isn in dict.fromkeys(trace.taps[position].packets.seq[rows].tolist()))
        evidence.append(
            of_rows(
                trace, position, rows, flow=int(flow), expected="the box's own SYN-ACK and no other",
                seen=f"SYN-ACKs of ISN {isns}: the server's own came through as well",
            )
        )  # fmt: skip
    return twice, evidence


def _untranslated(trace: Trace, near: Position, far: Position, flows: Bools) -> tuple[Bools, list[Evidence]]:
    """Flows with a segment whose numbers of the server's space are the same on both sides of the box."""
    crossed = np.zeros(len(flows), dtype=bool)
    evidence: list[Evidence] = []
    here, there = view(trace, near, flows), view(trace, far, flows)
    for up, source, target, field in ((False, there, here, "seq"), (True, here, there, "ack")):
        skipped = SYN | RST
        before = source[(source.up == up) & ~source.has(skipped)]
        after = target[(target.up == up) & ~target.has(skipped) & (target.has(ACK) | (not up))]
        column_before = getattr(trace.taps[before.position].packets, field)[before.row]
        column_after = getattr(trace.taps[after.position].packets, field)[after.row]
        same = among(keys(after.flow, column_after), keys(before.flow, column_before))
        right = among(keys(after.flow, getattr(after, field)), keys(before.flow, getattr(before, field)))
        wrong = after[same & ~right]
        crossed[wrong.flow] = True
        for row, flow, value in zip(wrong.row[:5], wrong.flow, column_after[same & ~right], strict=False):
            sign = 1 if field == "seq" else -1
            translated = (int(value) + sign * int(trace.delta[flow])) % 2**32
            evidence.append(
                of_rows(
                    trace,
                    after.position,
                    [row],
                    expected=f"{field} {translated}, its flow's delta applied",
                    seen=f"{field} {int(value)}, as on the other side of the box",
                )
            )
    return crossed, evidence
