"""A latency of every whole flow against a limit: one that the test gives, or the one that was configured.

    trace().expect(budget("ttfb"))                       # the limit of the ini file or the topology
    trace().expect(budget("ttfb", limit_ms=45))          # the test's own

Slow is told apart from broken: a flow that never shows the metric is later than any limit, and is counted by itself.

Cannot prove: anything about other machines: a limit in ms is one of this machine and load. Where plain TCP is the
measure, ``compare``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.budget import Budget
from hopscope.checks.evidence import count, milliseconds, of_rows
from hopscope.checks.verdict import Evidence, Outcome, Verdict, inconclusive
from hopscope.errors import UsageError
from hopscope.wire import metrics
from hopscope.wire.packets import RST
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

METRICS = ("ttfb", "send_unlock", "fct", "server_gap")
"""Those of ``hopscope.wire.metrics.per_flow``."""

SHOWN = 5
"""Flows shown as evidence."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """A configured limit in ms, and where it stands."""

    ms: float
    source: str


@dataclass(frozen=True)
class LatencyBudget:
    """See :func:`budget`. ``limits`` by metric are those that were configured."""

    metric: str
    quantile: float = 0.5
    limit_ms: float | None = None
    tolerance: float = 0.0
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"budget {self.metric} p{self.quantile * 100:g}"

    @property
    def limit(self) -> Limit:
        """The limit that counts. UsageError, with the three ways to give one, when there is none."""
        if self.limit_ms is not None:
            return Limit(self.limit_ms, "the test")
        found = self.limits.get(self.metric)
        if found is None:
            raise UsageError(
                f"no limit for {self.metric}: give limit_ms=, or {self.metric}_budget_ms in the ini file, or "
                f"{self.metric}_ms under budgets: in the topology"
            )
        return found

    def resolved(self) -> Budget:
        """The same as a Budget of samples."""
        return Budget(self.metric, quantile=self.quantile, limit_ms=self.limit.ms, tolerance=self.tolerance)

    def __call__(self, trace: Trace) -> Verdict:
        limit = self.limit
        values = metrics.per_flow(trace)[self.metric]
        values = np.where(trace.whole, values, np.nan)
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        place = Position.SERVER if self.metric == "server_gap" else Position.CLIENT
        if place not in trace.taps:
            return inconclusive(
                self.name, f"{self.metric} is measured at the {place.host}, and there is no capture of it"
            )
        verdict = self.resolved().judge([], values[trace.whole])
        never = np.flatnonzero(trace.whole & np.isnan(values))
        slow = np.flatnonzero(trace.whole & (values > limit.ms * 1e6 * (1 + self.tolerance)))
        parts = [f"{verdict.summary} (of {limit.source})"]
        if len(slow):
            parts.append(f"slow: {count(len(slow), 'flow')}, the last after {milliseconds(float(values[slow].max()))}")
        if len(never):
            parts.append(f"broken: {count(len(never), 'flow')} never got there")
        evidence: list[Evidence] = []
        if verdict.outcome is not Outcome.PASS:
            slowest = slow[np.argsort(values[slow])[::-1]]
            evidence = [self._shown(trace, place, int(flow), float(values[flow]), limit) for flow in slowest[:SHOWN]]
            evidence += [self._shown(trace, place, int(flow), np.nan, limit) for flow in never[:SHOWN]]
        return replace(
            verdict,
            summary="; ".join(parts),
            failed=len(slow) + len(never) if verdict.outcome is Outcome.FAIL else 0,
            evidence=tuple(evidence),
            metrics={**verdict.metrics, "slow": len(slow), "never": len(never)},
        )

    def _shown(self, trace: Trace, place: Position, flow: int, value: float, limit: Limit) -> Evidence:
        """The frames that the flow begins with, and when what was waited for came."""
        rows = trace.flows[flow].rows(place)
        expected = f"{self.metric} within {limit.ms:g} ms"
        if not np.isnan(value):
            end = int(trace.taps[place].packets.time[rows[0]]) + value
            last = [int(row) for row in rows if trace.taps[place].packets.time[row] >= end][:1]
            seen = f"slow: it came after {milliseconds(value)}"
            return of_rows(trace, place, [int(rows[0]), *last], flow=flow, expected=expected, seen=seen)
        flags = trace.taps[place].packets.flags[rows]
        why = "the connection was reset" if (flags & RST).any() else "it never came"
        return of_rows(
            trace, place, [int(row) for row in rows[:3]], flow=flow, expected=expected, seen=f"broken: {why}"
        )


def budget(
    metric: str, *, quantile: float = 0.5, limit_ms: float | None = None, tolerance: float = 0.0
) -> LatencyBudget:
    """A quantile of a latency (ttfb, send_unlock, fct, server_gap) of the whole flows is at most the limit.

    Without ``limit_ms`` the limit is the topology's (``budgets: {ttfb_ms: 45}``), else the ini file's
    (``ttfb_budget_ms = 45``). ``tolerance`` is a share of it. Raises UsageError for a metric that there is not.
    """
    if metric not in METRICS:
        raise UsageError(f"{metric!r} is no latency of a flow; there is {', '.join(METRICS)}")
    made = LatencyBudget(metric, quantile, limit_ms, tolerance)
    if limit_ms is not None:
        made.resolved()  # says now what makes no sense
    return made
