"""Plots of a window: latencies of plain TCP beside those of the system, its course over time, the delay of each hop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.correlation import Kind, correlate
from hopscope.checks.flowtable import repeat_times
from hopscope.draw import ecdf, spread, timeline
from hopscope.draw.ecdf import Curve
from hopscope.draw.spread import Spread
from hopscope.draw.timeline import Panel
from hopscope.page.html import Inside, Markup, details, tag
from hopscope.run import variants
from hopscope.wire import metrics
from hopscope.wire.taps import HOPS
from hopscope.wire.trace import Trace

METRICS = {
    "ttfb": "Time to the first byte",
    "send_unlock": "Time to the first data out",
    "fct": "Time to the end of the flow",
}
BINS = 60
LEAST_FLOWS = 5
"""Fewer flows than that are better listed than plotted."""


def section(trace: Trace, directory: Path | None, name: str) -> list[Inside]:
    """Nothing where there is too little to plot."""
    if len(trace) < LEAST_FLOWS:
        return []
    spans = variants.blocks(directory) if directory is not None else {}
    parts = {variant: trace.during(each) for variant, each in spans.items()} if len(spans) > 1 else {"all flows": trace}
    plots = [
        *_latencies(parts, trace.rtt_ns, name),
        _course(trace, f"{name}-time"),
        *_delays(trace, f"{name}-delay"),
    ]
    boxes = [
        tag("div", Markup(plot), class_="wide", tabindex="0", role="region", aria_label="a plot") for plot in plots
    ]
    return [details("Plots: latencies, course, delays", tag("div", *boxes, class_="plots"), open_=len(spans) > 1)]


def _latencies(parts: dict[str, Trace], rtt_ns: int | None, name: str) -> Iterator[str]:
    marks = {} if not rtt_ns else {"1 RTT": rtt_ns / 1e6, "2 RTT": 2 * rtt_ns / 1e6}
    for metric, title in METRICS.items():
        values = {variant: metrics.per_flow(part)[metric] / 1e6 for variant, part in parts.items()}
        curves = [Curve(variant, each.tolist()) for variant, each in values.items() if not np.isnan(each).all()]
        if curves:
            yield ecdf.draw(title, curves, marks, name=f"{name}-{metric}", styled=False)


def _course(trace: Trace, name: str) -> str:
    """Connections begun, segments lost and segments sent again, in bins of the window."""
    lost = [
        trace.taps[each.seen_at].packets.time[each.row]
        for passage in correlate(trace)
        for each in passage.of(Kind.LOST)
    ]
    start = int(trace.began.min())
    ends = [int(tap.packets.time.max()) for tap in trace.taps.values() if len(tap.packets)]
    end = max(ends) if trace.same_clock else int(next(iter(trace.taps.values())).packets.time.max())
    edges = np.linspace(start, max(end, start + 1), BINS + 1)

    def counted(times: NDArray[np.int64]) -> list[float]:
        return [float(each) for each in np.histogram(np.clip(times, start, end), edges)[0]]

    panels = [
        Panel("connections begun", counted(trace.began), "real"),
        Panel("segments lost", counted(np.asarray(lost, np.int64)), "lost"),
        Panel("segments sent again", counted(repeat_times(trace)), "spoofed"),
    ]
    return timeline.draw("The course of the window", panels, (end - start) / 1e9, name=name, styled=False)


def _delays(trace: Trace, name: str) -> Iterator[str]:
    """Of every hop and direction that one clock has seen both ends of."""
    spreads = []
    passages = {(one.source, one.target): one for one in correlate(trace)}
    for near, far in HOPS:
        for ends in ((near, far), (far, near)):
            passage = passages.get(ends)
            if passage is None or not trace.same_clock or not len(passage.twins[0]):
                continue
            went, came = (trace.taps[end].packets.time[rows] for end, rows in zip(ends, passage.twins, strict=True))
            one, two, three, four, five = np.quantile((came - went) / 1e6, (0.01, 0.25, 0.5, 0.75, 0.99)).tolist()
            told = " → ".join(trace.taps[end].name for end in ends)
            spreads.append(Spread(told, (one, two, three, four, five)))
    if spreads:
        yield spread.draw("Delay of each hop", spreads, name=name, styled=False)
