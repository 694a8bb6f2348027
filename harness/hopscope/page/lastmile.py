"""The last mile: the way of what was lost with the place where it ended, causes and evidence, what was mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hopscope.page.html import Inside, Markup, details, listed, table, tag
from hopscope.report.last_mile import HEADS, checklist

SHOWN = 4
"""Ways that are drawn; the others are told in words."""


def section(told: Mapping[str, Any]) -> list[Inside]:
    """From the document of a diagnosis (``lastmile.json``)."""
    goals = [probe for probe in told["probes"].values() if probe["goal"]]
    works = len(goals) - len(told["failing"])
    found: list[Inside] = [
        tag("h4", "The last mile"),
        tag("p", f"{works} of {len(goals)} probes succeeded, before anything was mended ({told['seconds']:.2f} s)."),
    ]
    paths = told.get("paths", [])
    for path in paths[:SHOWN]:
        found += [tag("p", path["told"]), _path(path)]
    rest = [path["told"] for path in paths[SHOWN:]] if paths else told["losses"]
    if rest:
        found.append(listed(rest))
    for cause in told["findings"]:
        found += _cause(cause)
    found.append(details("Every area that was looked at", listed(checklist(told))))
    if told.get("repair"):
        found += _repair(told["repair"], len(told["failing"]))
    return found


def _path(path: Mapping[str, Any]) -> Markup:
    """Points in order; where it ended is told in words too, not by colour alone."""
    items = []
    for at, point in enumerate(path["points"]):
        gone = at > path["seen"]
        here = at == path["seen"]
        mark = "✗ not seen at " if here else "" if gone else "✓ "
        turns = " (answer)" if at == path["turns_at"] else ""
        items.append(tag("li", f"{mark}{point}{turns}", class_="here" if here else "gone" if gone else "seen"))
    return tag("ol", *items, class_="path", aria_label=f"the way of {path['probe']}")


def _cause(cause: Mapping[str, Any]) -> Iterator[Inside]:
    yield tag(
        "p", tag("strong", f"{cause['cause']} on {cause['host']}"), f" ({cause['confidence']}): {cause['summary']}"
    )
    mends = [f"would set {setting}" for setting in cause["repair"]]
    yield listed([*cause["evidence"], *mends, *([f"remedy: {cause['remedy']}"] if cause["remedy"] else [])])


def _repair(repair: Mapping[str, Any], before: int) -> Iterator[Inside]:
    rows = [tuple(str(cell) for cell in row) for step in repair["steps"] for row in step["rows"]]
    after = len(repair["failing"])
    yield tag("p", f"Probes that fail: {before} before, {after} after. {repair['conclusion']}.")
    if rows:
        yield table("what was tried, and kept only where it helped", HEADS, rows)
