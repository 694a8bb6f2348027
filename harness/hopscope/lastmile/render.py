"""A diagnosis and its repairs as one JSON document; ``report.last_mile`` makes lines of it."""

from __future__ import annotations

from typing import Any

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.infer import areas
from hopscope.lastmile.planner import Outcome
from hopscope.lastmile.view import Loss, View


def document(view: View, findings: list[Finding], outcome: Outcome | None = None) -> dict[str, Any]:
    return {
        "seconds": round(view.seconds, 3),
        "probes": {p.name: {"goal": p.goal, **view.results.get(p.name, {"ok": False})} for p in view.probes},
        "failing": sorted(view.failing),
        "losses": [str(loss) for loss in view.losses()],
        "paths": [_path(loss) for loss in view.losses()],
        "findings": [each.document() for each in findings],
        "areas": areas(view, findings),
        "sources": {
            host: {"used": view.sources(host), "missing": report["missing"]} for host, report in view.reports.items()
        },
        "blind": dict(view.blind),
        "repair": None if outcome is None else outcome.document(),
    }


def _path(loss: Loss) -> dict[str, Any]:
    """Where the packets of a failing probe and their answers should be seen, in order, and at how many they were."""
    there, back = loss.probe.there, loss.probe.back
    if loss.next is None:
        seen = len(there) + len(back) if loss.last is not None else 0
    else:
        seen = there.index(loss.next) if loss.way == "there" else len(there) + back.index(loss.next)
    points = [str(point) for point in (*there, *back)]
    return {"probe": loss.probe.name, "points": points, "turns_at": len(there), "seen": seen, "told": str(loss)}
