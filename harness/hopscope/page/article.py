"""One test on the page: whose fault, verdicts, the chain, its flows, the last mile, settings, where everything is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hopscope.checks import carried_by
from hopscope.errors import HarnessFault
from hopscope.page import chain, flows, lastmile
from hopscope.page.html import Inside, Markup, anchor, code, details, joined, listed, table, tag
from hopscope.page.read import FAULTS, Test
from hopscope.report import plots
from hopscope.report.allure import parameters
from hopscope.report.evidence import WORST, read_json, settings
from hopscope.report.last_mile import FILE
from hopscope.wire.trace import Trace
from hopscope.wire.tunnel import TunnelTrace

EVIDENCE = 3
"""Pieces of evidence of one verdict that are told."""
SETTINGS = ("host", "setting", "wanted", "before", "read back")


def section(test: Test, *, captures: bool, folded: bool) -> Markup:
    """``captures`` says whether its captures are read: the chain and the flows come from them. ``folded``: all but its
    heading is shown when it is asked for."""
    name = anchor(test.nodeid)
    whose = FAULTS.get(test.kind or "")
    head: list[Inside] = [
        tag("h3", tag("span", test.outcome, class_="word"), " ", test.nodeid),
        tag("p", tag("strong", "Whose fault: "), f"{whose}.") if whose else None,
        tag("p", code(test.reason)) if test.reason else None,
        tag("p", " · ".join(f"{each.name} {each.value}" for each in parameters(test.case)), class_="dim"),
    ]
    body: list[Inside] = [
        *_carried(test),
        *_verdicts(test),
        *(_seen(test, name) if captures else [tag("p", "Its captures are not drawn here.", class_="dim")]),
    ]
    if test.case.directory is not None and (told := read_json(test.case.directory / FILE, {})):
        body += lastmile.section(told)
    if rows := settings(test.case):
        body.append(details(f"{len(rows)} settings, read back", table("settings of its lab", SETTINGS, rows)))
    body += _places(test)
    if folded:
        body = [details("verdicts, chain, flows, settings", *body)]
    return tag("article", *head, *body, id=name, class_=test.outcome)


def _carried(test: Test) -> Iterator[Inside]:
    """What a rewriter that was overtaken needs to be told before all else: which flow, which frames."""
    for reached in test.case.verdicts().values():
        for one in reached:
            if one.get("check") != carried_by.NAME or one.get("outcome") != "FAIL":
                continue
            yield tag(
                "p", tag("strong", "It was not the system under test that carried this: "), f"{one.get('summary')}."
            )
            shown: dict[str, Mapping[str, Any]] = {}
            for item in one.get("evidence", []):
                shown.setdefault(str(item.get("flow") or "the box"), item)
            yield listed(
                joined((code(flow), f": {item.get('tap')}, frame {_frames(item)}, is {item.get('seen')}"))
                for flow, item in [*shown.items()][:EVIDENCE]
            )


def _frames(item: Mapping[str, Any]) -> str:
    return ", ".join(map(str, item.get("frames", [])[:10])) or "-"


def _verdicts(test: Test) -> Iterator[Inside]:
    reached = [(folder, one) for folder, verdicts in test.case.verdicts().items() for one in verdicts]
    if not reached:
        yield tag("p", "No verdict was reached.")
        return
    many = len({folder for folder, _ in reached}) > 1
    rows = [
        (
            tag("span", str(one.get("outcome")), class_=f"word {one.get('outcome')}"),
            str(one.get("fault") or ""),
            str(one.get("check")) + (f" ({folder})" if many and folder != "." else ""),
            tag("div", str(one.get("summary")), *_evidence(one)),
        )
        for folder, one in reached
    ]
    against = [row for row, (_, one) in zip(rows, reached, strict=True) if one.get("outcome") in WORST]
    head = ("outcome", "whose fault", "check", "what was seen")
    if against:
        yield table("verdicts against it", head, against, stacked=True)
    yield details(
        f"all {len(rows)} verdicts", table("every verdict, in the order of judging", head, rows, stacked=True)
    )


def _evidence(verdict: dict[str, object]) -> Iterator[Inside]:
    listed_ = verdict.get("evidence")
    items = listed_ if verdict.get("outcome") in WORST and isinstance(listed_, list) else []
    if not items:
        return
    told = []
    for item in items[:EVIDENCE]:
        where = f"{item.get('flow') or ''} {item.get('tap')} frame {_frames(item)}".strip()
        told.append(f"{where}: expected {item.get('expected')}, seen {item.get('seen')}")
    more = len(items) - EVIDENCE
    yield listed([*told, *([f"… {more} more in verdicts.json"] if more > 0 else [])])


def _seen(test: Test, name: str) -> list[Inside]:
    window = test.case.window
    if window is None:
        return []
    if TunnelTrace.is_one(window):
        return [tag("p", f"Captures of a tunnel: {_count(window)} taps, judged by address and not by connection.")]
    try:
        trace = Trace.load(window)
        return [
            *chain.section(trace, f"{name}-chain"),
            *_plots(trace, test, name),
            *flows.section(trace, test, name),
        ]
    except HarnessFault as fault:
        return [tag("p", f"The captures cannot be correlated: {fault.message}")]


def _plots(trace: Trace, test: Test, name: str) -> Iterator[Inside]:
    boxes = [
        tag("div", Markup(each.svg), class_="wide", tabindex="0", role="region", aria_label=each.title)
        for each in plots.plots(trace, test.case.directory, name=name, styled=False)
    ]
    if boxes:
        compared = bool(plots.blocks(test.case.directory))
        yield details("Plots: latencies, course, delays", tag("div", *boxes, class_="plots"), open_=compared)


def _count(window: Path) -> int:
    return len([*window.glob("*.pcap"), *window.glob("*.pcapng")])


def _places(test: Test) -> Iterator[Inside]:
    place = test.case.directory or test.case.lab or test.case.run
    yield tag("p", "Everything is in ", code(str(place)))
    if (window := test.case.window) is not None:
        yield tag("p", "Judge it again: ", code(shlex.join(["hopscope", "judge", str(window)])))
