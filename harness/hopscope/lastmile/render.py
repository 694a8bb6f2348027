"""A diagnosis and its repairs as one JSON document; ``report.last_mile`` makes lines of it."""

from __future__ import annotations

from typing import Any

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.infer import areas
from hopscope.lastmile.planner import Outcome
from hopscope.lastmile.view import View


def document(view: View, findings: list[Finding], outcome: Outcome | None = None) -> dict[str, Any]:
    return {
        "seconds": round(view.seconds, 3),
        "probes": {p.name: {"goal": p.goal, **view.results.get(p.name, {"ok": False})} for p in view.probes},
        "failing": sorted(view.failing),
        "losses": [str(loss) for loss in view.losses()],
        "findings": [each.document() for each in findings],
        "areas": areas(view, findings),
        "sources": {
            host: {"used": view.sources(host), "missing": report["missing"]} for host, report in view.reports.items()
        },
        "blind": dict(view.blind),
        "repair": None if outcome is None else outcome.document(),
    }
