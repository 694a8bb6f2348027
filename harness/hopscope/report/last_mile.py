"""The last mile as lines for people, from the document that a diagnosis leaves (``lastmile.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopscope.report.terminal import table

FILE = "lastmile.json"
SOURCES = ("snapshots", "capture", "nft trace", "drop reasons")
HEADS = ("repair", "host", "setting", "read back", "before", "after", "state")


def diagnosis(told: Mapping[str, Any], *, would: bool = True) -> list[str]:
    """Probes, losses, causes with their evidence, sources, and a line for each of the six areas. ``would`` adds what a
    repair would set."""
    goals = [probe for probe in told["probes"].values() if probe["goal"]]
    lines = [f"{len(goals) - len(told['failing'])} of {len(goals)} probes succeed ({told['seconds']:.2f} s)"]
    lines += [f"  fails: {loss}" for loss in told["losses"]]
    for number, each in enumerate(told["findings"], 1):
        lines.append(f"{number}. {each['cause']} on {each['host']} ({each['confidence']}): {each['summary']}")
        lines += [f"     {line}" for line in each["evidence"]]
        lines.append(f"     explains: {', '.join(each['explains'])}")
        if would:
            lines += [f"     would set {setting}" for setting in each["repair"]]
        if would and each["search"]:
            lines.append(
                f"     would search for the largest MTU that passes ({each['search']}) and set it on both ends"
            )
        if each["remedy"]:
            lines.append(f"     remedy: {each['remedy']}")
    lines.append("  evidence: " + "; ".join(_sources(told["sources"])))
    return [*lines, *(f"  {area}: {state}" for area, state in told["areas"].items())]


def checklist(told: Mapping[str, Any]) -> list[str]:
    """The six areas, each with what became of it."""
    marks = {"clean": "ok", "finding": "!!", "not seen": "??"}
    return [f"[{marks[state.partition(':')[0]]}] {area}: {state}" for area, state in told["areas"].items()]


def repairs(told: Mapping[str, Any]) -> list[str]:
    """The table of what was tried, and what became of the whole."""
    rows = [tuple(row) for step in told["steps"] for row in step["rows"]]
    return [*(table(HEADS, rows) if rows else []), told["conclusion"]]


def whole(told: Mapping[str, Any]) -> list[str]:
    return [*diagnosis(told), *(repairs(told["repair"]) if told.get("repair") else [])]


def _sources(hosts: Mapping[str, Any]) -> list[str]:
    """Which sources the evidence is from, and where one was missing and why."""
    told = []
    for source in SOURCES:
        missing: dict[str, list[str]] = {}
        for host, report in hosts.items():
            if why := report["missing"].get(source):
                missing.setdefault(why, []).append(host)
        without = ", ".join(f"not on {' and '.join(names)}: {why}" for why, names in missing.items())
        told.append(f"{source} ({without})" if without else source)
    return told
