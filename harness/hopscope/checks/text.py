"""A judgement as text for a terminal: verdicts, placements, latencies, then the first failures with their frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hopscope.checks.judge import Judgement, Latency
from hopscope.checks.verdict import Evidence, Outcome, Verdict

SHOWN = 5
"""Pieces of evidence shown for each verdict."""

LABEL = {Outcome.NOT_APPLICABLE: "n/a"}


def render(judgement: Judgement) -> str:
    """Several lines without a trailing newline, no colour."""
    lines = [_head(judgement), ""]
    lines += table([(LABEL.get(v.outcome, v.outcome.value), v.check, v.summary) for v in judgement.verdicts])
    if judgement.latencies:
        lines += ["", *_latencies(judgement.latencies)]
    if judgement.observations:
        lines += ["", *(f"seen: {each.told}" for each in judgement.observations)]
    for verdict in judgement.verdicts:
        if verdict.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE) and verdict.evidence:
            lines += ["", *details(verdict)]
    lines += [f"note: {note}" for note in judgement.notes]
    return "\n".join(line.rstrip() for line in lines)


def details(verdict: Verdict, shown: int = SHOWN) -> list[str]:
    """The evidence of one verdict: flow, tap, frames, expected and seen, and a display filter."""
    lines = [f"{verdict.check}: {verdict.summary}"]
    for item in verdict.evidence[:shown]:
        lines += _evidence(item)
    more = max(verdict.failed, len(verdict.evidence)) - min(shown, len(verdict.evidence))
    if more > 0:
        lines.append(f"    and {more:,} more")
    return lines


def table(rows: Iterable[Sequence[str]], gap: str = "  ") -> list[str]:
    """Rows with their columns aligned to the left; the last column is left ragged."""
    kept = [tuple(map(str, row)) for row in rows]
    if not kept:
        return []
    widths = [max(len(row[n]) for row in kept) for n in range(len(kept[0]) - 1)]
    return [gap.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in kept]


def _head(judgement: Judgement) -> str:
    placements = ", ".join(f"{number:,} {name}" for name, number in judgement.placements.items()) or "none"
    claim = f", claimed {judgement.claim}" if judgement.claim else ""
    taps = f"{len(judgement.taps)} capture" + ("" if len(judgement.taps) == 1 else "s")
    what = judgement.subject or f"{judgement.flows:,} flows, {judgement.whole:,} whole: {placements}"
    return f"{judgement.source or 'trace'}: {judgement.outcome.value}{claim}\n{taps}, {what}"


def _evidence(item: Evidence) -> list[str]:
    frames = ""
    if item.frames:
        frames = (" frame " if len(item.frames) == 1 else " frames ") + ", ".join(map(str, item.frames))
    lines = [f"    {item.flow + '  ' if item.flow else ''}{item.tap}{frames}"]
    lines += [f"        expected  {item.expected}", f"        seen      {item.seen}"]
    if item.filter:
        lines.append(f"        filter    {item.filter}")
    return lines


def _latencies(latencies: Sequence[Latency]) -> list[str]:
    rows = [("metric", "placement", "n", "p50 ms", "95 % interval", "p99 ms")]
    for one in latencies:
        rows.append(
            (
                one.metric,
                one.placement,
                f"{one.n:,}" + (f" ({one.absent:,} absent)" if one.absent else ""),
                f"{one.p50 / 1e6:.3f}",
                _interval(one),
                f"{one.p99 / 1e6:.3f}",
            )
        )
    return table(rows)


def _interval(one: Latency) -> str:
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        return "too few"
    return f"{one.low / 1e6:.3f} .. {one.high / 1e6:.3f}"
