"""A folder of captures, judged: verdicts, placements and latencies, as one value with a stable JSON form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.expectation import Expectation, standard, worst
from hopscope.checks.observations import Observation, observe
from hopscope.checks.placement import counts
from hopscope.checks.stats import quantile
from hopscope.checks.tunnel import everything
from hopscope.checks.tunnel_health import complaints
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.errors import exit_code
from hopscope.wire import metrics as wire_metrics
from hopscope.wire.trace import PLACEMENTS, Trace
from hopscope.wire.tunnel import TunnelTrace

SCHEMA = 1
"""Version of ``Judgement.to_json()``: raised when a key changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One metric of the whole flows of one placement, in ns. ``low`` and ``high`` enclose the median with 95 %."""

    metric: str
    placement: str
    n: int
    absent: int
    p50: float
    low: float
    high: float
    p99: float

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "placement": self.placement,
            "n": self.n,
            "absent": self.absent,
            "p50_ns": _number(self.p50),
            "p50_low_ns": _number(self.low),
            "p50_high_ns": _number(self.high),
            "p99_ns": _number(self.p99),
        }


@dataclass(frozen=True, slots=True)
class TapSummary:
    """What one capture held."""

    file: str
    position: str
    packets: int
    healthy: bool | None

    def to_json(self) -> dict[str, Any]:
        return {"file": self.file, "position": self.position, "packets": self.packets, "healthy": self.healthy}


@dataclass(frozen=True, slots=True)
class Judgement:
    source: str
    claim: str | None
    taps: tuple[TapSummary, ...]
    flows: int
    whole: int
    placements: Mapping[str, int]
    verdicts: tuple[Verdict, ...]
    latencies: tuple[Latency, ...]
    rtt_ns: int | None
    notes: tuple[str, ...]
    observations: tuple[Observation, ...] = ()
    """What the captures show that no check judges."""
    subject: str = ""
    """What was judged where it is no chain: a tunnel, and what carries it. There are no flows to count then."""

    @property
    def outcome(self) -> Outcome:
        return worst(self.verdicts)

    @property
    def exit_code(self) -> int:
        """0; 1 product; 2 environment; 3 inconclusive. 2 wins over 1 over 3."""
        return exit_code(verdict.exit_code for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Plain values with stable keys; NaN and infinities become null."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "claim": self.claim,
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "taps": [tap.to_json() for tap in self.taps],
            "flows": self.flows,
            "whole": self.whole,
            "placements": dict(self.placements),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "latencies": [latency.to_json() for latency in self.latencies],
            "observations": [observation.to_json() for observation in self.observations],
            "rtt_ns": self.rtt_ns,
            "notes": list(self.notes),
        } | ({"subject": self.subject} if self.subject else {})


def judge_folder(path: Path, expect: str | None = None) -> Judgement:
    """Judge one folder of captures with the standard checks, or those of a tunnel where its side-car says it is one.

    ``expect`` claims a placement. Raises HarnessFault when the folder holds no capture that can be read, and
    UsageError for a placement that does not exist.
    """
    if TunnelTrace.is_one(path):
        return judge_tunnel(TunnelTrace.load(path), source=str(path))
    return judge_trace(Trace.load(path), expect, source=str(path))


def judge_tunnel(trace: TunnelTrace, *, source: str = "") -> Judgement:
    """Judge the captures of a tunnel by all that was said of it. There are no flows and no placement to tell."""
    carrier = f"{trace.transport.protocol} port {trace.transport.port} of {trace.transport.server}"
    return Judgement(
        source=source,
        claim=None,
        taps=tuple(
            TapSummary(each.file, f"{each.host} {each.interface}", len(each.packets), not complaints(each))
            for each in trace.captures
        ),
        flows=0,
        whole=0,
        placements={},
        verdicts=tuple(everything(trace)),
        latencies=(),
        rtt_ns=None,
        notes=trace.notes,
        subject=f"tunnel {trace.name} over {carrier}",
    )


def judge_trace(
    trace: Trace,
    expect: str | None = None,
    *,
    source: str = "",
    expectation: Expectation | None = None,
    observing: bool = True,
    progress: Callable[[str], object] = lambda _: None,
) -> Judgement:
    """Judge a trace; ``expectation`` replaces the standard checks, ``progress`` is told what is being done."""
    chosen = expectation or Expectation(standard(), expect)
    return Judgement(
        source=source,
        claim=chosen.placement,
        taps=tuple(
            TapSummary(tap.file, position.name.lower(), len(tap.packets), tap.healthy)
            for position, tap in trace.taps.items()
        ),
        flows=len(trace.whole),
        whole=int(np.count_nonzero(trace.whole)),
        placements=counts(trace),
        verdicts=chosen.judge(trace, progress),
        latencies=latencies(samples(trace)),
        rtt_ns=trace.rtt_ns,
        notes=tuple(trace.notes),
        observations=observe(trace) if observing and not chosen.proxied(trace) else (),
    )


Samples = dict[tuple[str, str], NDArray[np.float64]]
"""By metric and placement, a value of every whole flow, NaN where it does not show it."""


def samples(trace: Trace) -> Samples:
    return {
        (metric, one.value): values[trace.whole & (trace.placement == index)]
        for metric, values in wire_metrics.per_flow(trace).items()
        for index, one in enumerate(PLACEMENTS)
    }


def latencies(taken: Samples) -> tuple[Latency, ...]:
    """Quantiles of every per-flow metric, by placement, over whole flows."""
    found = []
    for (metric, place), mine in taken.items():
        present = np.sort(mine[~np.isnan(mine)])
        if not len(present):
            continue
        middle = quantile(present.tolist(), 0.5)
        tail = float(np.quantile(present, 0.99))
        absent = len(mine) - len(present)
        found.append(Latency(metric, place, len(present), absent, middle.value, middle.low, middle.high, tail))
    return tuple(found)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
