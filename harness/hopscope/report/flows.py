"""Flows of a trace told one by one: ``judge --flow`` and ``judge --top``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hopscope.checks.evidence import display_filter
from hopscope.checks.flowtable import ORDERS, Columns, flow_table, one, top
from hopscope.checks.judge import Judgement, judge_trace
from hopscope.checks.text import render, table
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.errors import UsageError
from hopscope.report.ladder import MAX_ROWS, ladder
from hopscope.wire.trace import Trace

_TIMES = ("ttfb", "send_unlock", "fct", "server_gap", "handshake", "first_up", "first_down")


def order(text: str) -> tuple[str, int]:
    """``slowest=20`` as its parts. Raises UsageError for what is none."""
    name, _, count = text.partition("=")
    if name not in ORDERS or not (count or "20").isdigit():
        raise UsageError(f"--top {text}: NAME or NAME=COUNT is wanted, NAME one of {', '.join(ORDERS)}")
    return name, int(count or "20")


def top_flows(trace: Trace, name: str, count: int) -> list[dict[str, Any]]:
    """Rows of the table, plain values: label, number from 1, placement, and what the flow did."""
    columns = flow_table(trace)
    return [described(trace, columns, flow) for flow in top(trace, columns, name, count)] if columns else []


def described(trace: Trace, columns: Columns, flow: int) -> dict[str, Any]:
    one_flow = trace.flows[flow]
    return {
        "flow": one_flow.label,
        "number": flow + 1,
        "placement": one_flow.placement.value,
        "whole": one_flow.whole,
        **{f"{name}_ns" if name in _TIMES else name: value for name, value in one(columns, flow).items()},
    }


def top_text(rows: list[dict[str, Any]]) -> str:
    head = ("#", "flow", "placement", "ttfb ms", "fct ms", "bytes", "packets", "again", "late", "notes")
    lines = [head]
    for row in rows:
        late = row["out_of_order_up"] + row["out_of_order_down"]
        lines.append(
            (
                str(row["number"]), row["flow"], row["placement"], _ms(row.get("ttfb_ns")), _ms(row.get("fct_ns")),
                f"{row['bytes']:,}", str(row["packets"]), str(row["repeats"]), str(late), _notes(row),
            )
        )  # fmt: skip
    return "\n".join(line.rstrip() for line in table(lines))


def flow_text(trace: Trace, flow: int, claim: str | None, source: str) -> tuple[str, Judgement]:
    """All that is known of one flow: its verdicts, what it did, and its ladder."""
    mask = np.zeros(len(trace), np.bool_)
    mask[flow] = True
    judgement = judge_trace(trace.only(mask), claim, source=source)
    row = described(trace, flow_table(trace), flow)
    facts = [(name.removesuffix("_ns"), _value(name, value)) for name, value in row.items()]
    drawn = ladder(trace, flow, marked=marked(judgement.verdicts))
    return "\n".join([render(judgement), "", *table(facts), "", drawn]), judgement


def first_failing(trace: Trace, verdicts: Sequence[Verdict], *, max_rows: int = MAX_ROWS) -> str | None:
    """The ladder of the first flow that a failed verdict shows, with the frames it points at."""
    for verdict in verdicts:
        if verdict.outcome is not Outcome.FAIL:
            continue
        for item in verdict.evidence:
            found = next((flow.index for flow in trace.flows if flow.label == item.flow), None)
            if found is not None:
                return ladder(trace, found, marked=marked(verdicts), max_rows=max_rows)
    return None


def flow_filter(trace: Trace, index: int) -> str:
    """``display_filter``, and the time of the flow where its ports have more than one."""
    base, flow = display_filter(trace, index), trace.flows[index]
    same = (trace.client_end == trace.client_end[index]) & (trace.server_end == trace.server_end[index])
    if np.count_nonzero(same.all(axis=1)) == 1:
        return base
    times = [tap.packets.time[flow.rows(position)] for position, tap in trace.taps.items()]
    seen = [int(time) for part in times for time in part]
    first, last = min(seen), max(seen)
    bounds = (f"{moment // 10**9}.{moment % 10**9:09d}" for moment in (first, last))
    return f"{base} && frame.time_epoch >= {next(bounds)} && frame.time_epoch <= {next(bounds)}"


def marked(verdicts: Sequence[Verdict]) -> set[tuple[str, int]]:
    """Frames that verdicts other than PASS point at."""
    bad = (Outcome.FAIL, Outcome.INCONCLUSIVE)
    items = [item for verdict in verdicts if verdict.outcome in bad for item in verdict.evidence]
    return {(item.tap, frame) for item in items for frame in item.frames}


def _notes(row: dict[str, Any]) -> str:
    said = [name for name in ("rst", "dsacks", "zero_windows") if row[name]]
    return ", ".join([*said, *(["not whole"] if not row["whole"] else [])])


def _ms(nanoseconds: float | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:.3f}"


def _value(name: str, value: Any) -> str:
    return f"{value / 1e6:.3f} ms" if name.endswith("_ns") else f"{value:,}" if isinstance(value, int) else str(value)
