"""Plots of a window: latencies of plain TCP beside those of the system, its course over time, the delay of each hop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.correlation import Kind, correlate
from hopscope.checks.flowtable import repeat_times
from hopscope.draw import ecdf, spread, timeline
from hopscope.draw.ecdf import Curve
from hopscope.draw.spread import Spread
from hopscope.draw.timeline import Panel
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


@dataclass(frozen=True)
class Plot:
    title: str
    svg: str


def plots(trace: Trace, directory: Path | None, *, name: str = "plot", styled: bool = True) -> list[Plot]:
    """Of a window of the test whose folder is ``directory``; nothing where there is too little to plot. Latencies come
    first: those of each system, where the test compared some."""
    if len(trace) < LEAST_FLOWS:
        return []
    spans = blocks(directory)
    parts = {variant: trace.during(each) for variant, each in spans.items()} if spans else {"all flows": trace}
    draw = _Drawing(trace, name, styled)
    return [*draw.latencies(parts), draw.course(), *draw.delays()]


def blocks(directory: Path | None) -> variants.Spans:
    """Of a test that compared systems; empty where it did not."""
    found = variants.blocks(directory) if directory is not None else {}
    return found if len(found) > 1 else {}


@dataclass(frozen=True)
class _Drawing:
    trace: Trace
    name: str
    styled: bool

    def latencies(self, parts: dict[str, Trace]) -> Iterator[Plot]:
        rtt = (self.trace.rtt_ns or 0) / 1e6
        marks = {"1 RTT": rtt, "2 RTT": 2 * rtt} if rtt else {}
        for metric, title in METRICS.items():
            values = {variant: metrics.per_flow(part)[metric] / 1e6 for variant, part in parts.items()}
            curves = [Curve(variant, each.tolist()) for variant, each in values.items() if not np.isnan(each).all()]
            if curves:
                name = f"{self.name}-{metric}"
                yield Plot(title, ecdf.draw(title, curves, marks, name=name, styled=self.styled))

    def course(self) -> Plot:
        """Connections begun in bins of the window; where one clock stamped all, segments lost and sent again."""
        trace, title = self.trace, "The course of the window"
        start = int(trace.began.min())
        seen = [int(tap.packets.time.max()) for tap in trace.taps.values() if len(tap.packets)]
        end = max(start + 1, max(seen) if trace.same_clock else int(trace.began.max()))
        edges = np.linspace(start, end, BINS + 1)

        def counted(times: NDArray[np.int64]) -> list[float]:
            return [float(each) for each in np.histogram(np.clip(times, start, end), edges)[0]]

        panels = [Panel("connections begun", counted(trace.began), "real")]
        if trace.same_clock:
            lost = [
                trace.taps[each.seen_at].packets.time[each.row]
                for passage in correlate(trace)
                for each in passage.of(Kind.LOST)
            ]
            panels.append(Panel("segments lost", counted(np.asarray(lost, np.int64)), "lost"))
            panels.append(Panel("segments sent again", counted(repeat_times(trace)), "spoofed"))
        seconds = (end - start) / 1e9
        return Plot(title, timeline.draw(title, panels, seconds, name=f"{self.name}-time", styled=self.styled))

    def delays(self) -> Iterator[Plot]:
        """Of every hop and direction, where one clock stamped both ends."""
        trace, title, spreads = self.trace, "Delay of each hop", []
        passages = {(one.source, one.target): one for one in correlate(trace)} if trace.same_clock else {}
        for ends in (ends for hop in HOPS for ends in (hop, hop[::-1])):
            passage = passages.get(ends)
            if passage is None or not len(passage.twins[0]):
                continue
            went, came = (trace.taps[end].packets.time[rows] for end, rows in zip(ends, passage.twins, strict=True))
            one, two, three, four, five = np.quantile((came - went) / 1e6, (0.01, 0.25, 0.5, 0.75, 0.99)).tolist()
            spreads.append(Spread(" → ".join(trace.taps[end].name for end in ends), (one, two, three, four, five)))
        if spreads:
            yield Plot(title, spread.draw(title, spreads, name=f"{self.name}-delay", styled=self.styled))
