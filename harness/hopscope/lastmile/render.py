"""A diagnosis and its repairs as lines for people and as one JSON document."""

from __future__ import annotations

from typing import Any

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.infer import areas
from hopscope.lastmile.planner import Outcome
from hopscope.lastmile.view import SOURCES, View
from hopscope.report.terminal import table

HEADS = ("repair", "host", "setting", "read back", "before", "after", "state")


def diagnosis(view: View, findings: list[Finding]) -> list[str]:
    goals = [probe for probe in view.probes if probe.goal]
    lines = [f"{len(goals) - len(view.failing)} of {len(goals)} probes succeed ({view.seconds:.2f} s)"]
    lines += [f"  fails: {loss}" for loss in view.losses()]
    for number, finding in enumerate(findings, 1):
        lines.append(f"{number}. {finding.cause} on {finding.host} ({finding.confidence}): {finding.summary}")
        lines += [f"     {line}" for line in finding.evidence]
        lines += [f"     explains: {', '.join(finding.explains)}"]
        lines += [f"     would set {each.host}: {each.name} = {each.wanted}" for each in finding.settings]
        if finding.search:
            lines.append(
                f"     would search for the largest MTU that passes ({finding.search}) and set it on both ends"
            )
        if finding.remedy:
            lines.append(f"     remedy: {finding.remedy}")
    lines.append("  evidence: " + "; ".join(sources(view)))
    lines += [f"  {area}: {told}" for area, told in areas(view, findings).items()]
    return lines


def sources(view: View) -> list[str]:
    """Which sources the evidence is from, and where one was missing and why."""
    told = []
    for source in ("snapshots", *SOURCES):
        missing: dict[str, list[str]] = {}
        for host, report in view.reports.items():
            if why := report["missing"].get(source):
                missing.setdefault(why, []).append(host)
        without = ", ".join(f"not on {' and '.join(hosts)}: {why}" for why, hosts in missing.items())
        told.append(f"{source} ({without})" if without else source)
    return told


def repairs(outcome: Outcome) -> list[str]:
    rows = [row for step in outcome.steps for row in step.rows()]
    return [*(table(HEADS, rows) if rows else []), outcome.conclusion()]


def document(view: View, findings: list[Finding], outcome: Outcome | None = None) -> dict[str, Any]:
    return {
        "seconds": round(view.seconds, 3),
        "probes": {p.name: {"goal": p.goal, **view.results.get(p.name, {"ok": False})} for p in view.probes},
        "losses": [str(loss) for loss in view.losses()],
        "findings": [each.document() for each in findings],
        "areas": areas(view, findings),
        "sources": {
            host: {"used": view.sources(host), "missing": report["missing"]} for host, report in view.reports.items()
        },
        "blind": dict(view.blind),
        "repair": None if outcome is None else outcome.document(),
    }  # fmt: skip
