"""The flows of a window that are worth looking at, with their ladders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hopscope.page.html import Inside, Markup, code, details, table, tag
from hopscope.page.read import Test
from hopscope.report import flow_picture
from hopscope.report.evidence import WORST, failed_ports, shown_flow
from hopscope.report.flows import flow_filter, top_flows
from hopscope.wire.trace import Trace

DRAWN = 3
"""Flows that a test which did not pass has drawn, at most, beside the slowest."""
LISTED = 5
HEAD = ("flow", "first byte", "whole", "bytes", "packets", "sent again")


def section(trace: Trace, test: Test, name: str) -> list[Inside]:
    """The flows that verdicts name (of a test that passed, none), then the slowest, drawn; and the slowest listed."""
    if not len(trace):
        return [tag("p", "No connection was on the path.")]
    against = [one for verdicts in test.case.verdicts().values() for one in verdicts if one.get("outcome") in WORST]
    marked = {
        (item["tap"], frame) for one in against for item in one.get("evidence", []) for frame in item.get("frames", [])
    }
    slowest = top_flows(trace, "slowest", LISTED)
    named = _named(trace, against) if test.bad else []
    if test.bad and not named and (index := shown_flow(trace, (), failed_ports(test.case.directory))) is not None:
        named = [index]
    last = [row["number"] - 1 for row in slowest[:1]]
    found: list[Inside] = [tag("h4", "Flows")]
    for index in dict.fromkeys([*named[:DRAWN], *last]):
        why = "a verdict names it" if index in named else "the slowest"
        drawn = flow_picture.svg(trace, index, marked=marked, name=f"{name}-{index}", styled=False)
        label = trace.flows[index].label
        box = tag("div", Markup(drawn), class_="wide", tabindex="0", role="region", aria_label=f"ladder of {label}")
        shown = [tag("p", "Wireshark: ", code(flow_filter(trace, index))), box]
        found.append(details(f"{label} ({why})", *shown, open_=test.bad and index == named[0]))
    found.append(table(f"the slowest of {len(trace):,} flows", HEAD, [_row(row) for row in slowest]))
    return found


def _named(trace: Trace, against: Sequence[Mapping[str, Any]]) -> list[int]:
    """Flows that evidence is about, in its order."""
    by_label = {flow.label: flow.index for flow in trace.flows}
    labels = (item.get("flow") for one in against for item in one.get("evidence", []))
    return list(dict.fromkeys(by_label[label] for label in labels if label in by_label))


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["flow"]), _ms(row.get("ttfb_ns")), _ms(row.get("fct_ns")), f"{row['bytes']:,}", f"{row['packets']:,}",
        str(row["repeats"]),
    )  # fmt: skip


def _ms(nanoseconds: float | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:.3f} ms"
