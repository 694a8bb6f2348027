"""A proxy on the path: two connections where there was one, each judged as plain TCP over its own part of the chain.

A proxy ends the client's connection and opens one of its own to the server. No flow crosses it, so nothing can be
translated, nothing is answered early on the server's behalf, and no byte of the one connection is a byte of the other's
numbers. What can be judged is that no connection got past the box (then the kernel carried it), that connections leave
the box at all, and for each part whatever is judged of plain TCP: delivery, checksums, next hops, the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hopscope.checks.check import Check
from hopscope.checks.died import died
from hopscope.checks.evidence import count, of_rows
from hopscope.checks.verdict import Outcome, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools
from hopscope.wire.taps import BOXES, Position, Tap
from hopscope.wire.trace import Trace

CLAIM = "proxy"

#: Checks of what a rewriter does to a flow, and why they say nothing of a proxy.
WITHOUT_MEANING = {
    "ordering": "a proxy answers for itself: there is no server's answer to be ahead of",
    "translation": "a proxy opens a connection of its own: nothing is translated",
}

#: Checks of the captures and of what the box says, not of flows.
OF_THE_WHOLE = ("capture_health", "claims")

_WORST = (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.NOT_APPLICABLE)


def declared(trace: Trace) -> bool:
    """Whether all that the run put on the path was declared to be a proxy."""
    said = [event.get("placement") for event in trace.sut_events if event.get("event") == "sut_started"]
    return bool(said) and all(each == CLAIM for each in said)


def judge(checks: Iterable[Check], trace: Trace) -> tuple[Verdict, ...]:
    """One verdict for each check, and the first of all says whether the box is a proxy as claimed."""
    box, crossed = _box(trace)
    near, far = _parts(trace, box)
    verdicts = [_placement(trace, far, box, crossed)]
    for check in checks:
        if check.name in WITHOUT_MEANING:
            verdicts.append(not_applicable(check.name, WITHOUT_MEANING[check.name]))
        elif check.name == "carried_by":
            verdicts.append(check(trace) if died(trace) else _carried_by(trace, box, crossed))
        elif check.name in OF_THE_WHOLE:
            verdicts.append(check(trace))
        elif check.name != "placement":
            verdicts.append(_both(check.name, check(near), check(far)))
    return tuple(verdicts)


def _box(trace: Trace) -> tuple[str, Bools]:
    """The box where connections end, and the whole flows that are seen on its other side all the same."""
    found = {box: _seen(trace, [place for place in trace.taps if place >= far]) for box, (_, far) in BOXES.items()}
    best = min(found, key=lambda box: int(np.count_nonzero(found[box])))
    # Where connections end at the first box the second sees none of them either: the first is meant.
    first = next(iter(found))
    return (first, found[first]) if not found[first].sum() > found[best].sum() else (best, found[best])


def _seen(trace: Trace, places: Sequence[Position]) -> Bools:
    seen = np.zeros(len(trace.whole), dtype=bool)
    for place in places:
        index = trace.flow_of[place]
        seen[index[index >= 0]] = True
    return np.asarray(seen & trace.whole)


def _parts(trace: Trace, box: str) -> tuple[Trace, Trace]:
    """The chain up to the box with the trace's flows, and from it on with those that the box has opened."""
    near, far = BOXES[box]

    def part(taps: list[Tap], events: Iterable[dict[str, Any]] = ()) -> Trace:
        return Trace.of(taps, same_clock=trace.same_clock, rtt_ns=trace.rtt_ns, sut_events=events)

    taps = trace.taps.values()
    before = part([tap for tap in taps if tap.position <= near], trace.sut_events)
    behind = part([tap for tap in taps if tap.position >= far])
    # The captures may hold more than the trace does: blocks of a comparison in which no proxy was on the path.
    mine, clients = set(_names(trace)), set(_names(before))
    return (
        before.only(np.array([name in mine for name in _names(before)], dtype=bool)),
        behind.only(np.array([name not in clients for name in _names(behind)], dtype=bool)),
    )


def _names(trace: Trace) -> list[tuple[int, ...]]:
    """What tells a client's connection apart, whichever taps have seen it: its end and its ISN."""
    return [(*end, isn) for end, isn in zip(trace.client_end.tolist(), trace.client_isn.tolist(), strict=True)]


def _placement(trace: Trace, far: Trace, box: str, crossed: Bools) -> Verdict:
    whole, through = int(np.count_nonzero(trace.whole)), int(np.count_nonzero(crossed))
    opened = int(np.count_nonzero(far.whole))
    metrics = {"ended": whole - through, "opened": opened}
    if not whole:
        return inconclusive("placement", "no flow lies wholly within the captures", metrics=metrics)
    if len(trace.taps) < 2 or not far.taps:
        return inconclusive("placement", f"no capture on both sides of {box}", metrics=metrics)
    if through == whole or not opened:
        why = f"every connection crosses {box}" if through else f"no connection leaves {box} for the server"
        return failed(
            "placement", f"claimed proxy; {why}", judged=whole, failed=whole, evidence=[], metrics=metrics
        )  # fmt: skip
    told = f"{count(whole - through, 'connection')} end at {box}, {opened:,} leave it"
    return passed("placement", f"proxy, as claimed: {told}", judged=whole, metrics=metrics)


def _carried_by(trace: Trace, box: str, crossed: Bools) -> Verdict:
    whole, through = int(np.count_nonzero(trace.whole)), int(np.count_nonzero(crossed))
    if not whole:
        return inconclusive("carried_by", "no flow lies wholly within the captures")
    if not through:
        told = f"{count(whole, 'connection')} ended at {box}: none crossed it"
        return passed("carried_by", told, judged=whole, metrics={"carried_by_kernel": 0})
    behind = [place for place in trace.taps if place >= BOXES[box][1]]
    evidence = []
    for flow in np.flatnonzero(crossed)[:10]:
        place = next(each for each in behind if trace.flows[flow].seen_at(each))
        rows = trace.flows[flow].rows(place)[:1]
        expected = f"the client's connection ends at {box}"
        evidence.append(
            of_rows(trace, place, rows, flow=int(flow), expected=expected, seen="it goes on behind the box")
        )
    return failed(
        "carried_by", f"{count(through, 'flow')} of {whole:,} carried by the kernel past the proxy", judged=whole,
        failed=through, evidence=evidence, metrics={"carried_by_kernel": through},
    )  # fmt: skip


def _both(name: str, near: Verdict, far: Verdict) -> Verdict:
    """One verdict of two: the worse outcome, and what was said of each part."""
    worse = min((near, far), key=lambda verdict: _WORST.index(verdict.outcome))
    return replace(
        worse,
        check=name,
        summary=f"client's part: {near.summary}; server's part: {far.summary}",
        judged=near.judged + far.judged,
        failed=near.failed + far.failed,
        evidence=(*near.evidence, *far.evidence),
        metrics={key: near.metrics.get(key, 0) + far.metrics.get(key, 0) for key in {*near.metrics, *far.metrics}},
    )
