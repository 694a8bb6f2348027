"""Baseline against SUT in alternating blocks through the same code, judged as pairs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hopscope.checks.budget import MINIMUM_ALTERNATIONS as ALTERNATIONS
from hopscope.checks.budget import MINIMUM_PER_BLOCK as BLOCK
from hopscope.checks.budget import Budget
from hopscope.checks.capture_health import capture_health
from hopscope.checks.latency import LatencyBudget, Limit
from hopscope.checks.verdict import Verdict
from hopscope.errors import EnvironmentFault, HarnessFault, ProductFault, UsageError
from hopscope.plugin.judged import Judged, raise_for
from hopscope.plugin.window import Window
from hopscope.run.doing import doing
from hopscope.traffic.report import RATE_TOLERANCE, TrafficReport
from hopscope.traffic.traffic import Traffic
from hopscope.wire import metrics
from hopscope.wire.trace import Trace


@dataclass(frozen=True)
class Block:
    """One uninterrupted stretch of one variant; times are ns on the clock of the client."""

    variant: str
    pair: int
    start_ns: int
    end_ns: int


@dataclass
class Comparison:
    """All blocks of a comparison in one trace, and the parts of it that were judged by themselves."""

    baseline: str
    sut: str
    rtt_ns: int
    blocks: list[Block]
    judged: Judged
    asked: int
    completed: int
    parts: list[Judged] = field(default_factory=list)

    @property
    def trace(self) -> Trace:
        return self.judged.trace

    def part(self, variant: str) -> Judged:
        """The blocks of one variant as a trace of their own, for checks."""
        spans = [(block.start_ns, block.end_ns) for block in self.blocks if block.variant == variant]
        if not spans:
            raise UsageError(f"no blocks of {variant!r}: compared were {self.baseline!r} and {self.sut!r}")
        directory = self.judged.directory / variant
        directory.mkdir(exist_ok=True)
        judged = Judged(self.trace.during(spans), directory, self.judged.limits)
        self.parts.append(judged)
        return judged

    def values(self, metric: str, variant: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """A metric of every flow of a variant in ns (NaN where the flow has none), and the pair of each flow."""
        values = metrics.per_flow(self.trace)[metric]
        started = self.trace.began
        taken = np.full(len(values), -1, dtype=np.int64)
        for block in self.blocks:
            if block.variant == variant:
                taken[(started >= block.start_ns) & (started < block.end_ns)] = block.pair
        kept = taken >= 0
        return values[kept], taken[kept]

    def expect(self, *budgets: Budget | LatencyBudget) -> tuple[Verdict, ...]:
        """Every budget must hold; ``budget("ttfb")`` has the limit that is configured.

        Raises ProductFault, also when a connection did not complete; HarnessFault where the samples or the captures
        cannot tell.
        """
        if not budgets:
            raise UsageError('expect() needs at least one budget, as in expect(Budget("ttfb", saves="1 rtt"))')
        reached = tuple(self._judge(budget) for budget in budgets)
        self.judged.record(reached)
        raise_for((*reached, *self.judged.judge(capture_health())))
        if self.completed < self.asked:
            raise ProductFault(f"{self.asked - self.completed} of {self.asked} connections did not complete")
        return reached

    def _judge(self, budget: Budget | LatencyBudget) -> Verdict:
        if isinstance(budget, LatencyBudget):
            budget = replace(budget, limits=self.judged.limits).resolved()
        baseline, baseline_blocks = self.values(budget.metric, self.baseline)
        sut, sut_blocks = self.values(budget.metric, self.sut)
        return budget.judge(baseline, sut, rtt_ns=self.rtt_ns, baseline_blocks=baseline_blocks, sut_blocks=sut_blocks)

    def row(self) -> dict[str, Any]:
        """One line of the terminal summary."""
        medians = {
            (metric, variant): _median_ms(self.values(metric, variant)[0])
            for metric in ("ttfb", "send_unlock")
            for variant in (self.baseline, self.sut)
        }
        plain, ours = medians["ttfb", self.baseline], medians["ttfb", self.sut]
        return {
            "sut": self.sut,
            "rtt_ms": self.rtt_ns / 1e6,
            "plain_ttfb_ms": plain,
            "sut_ttfb_ms": ours,
            "saved_rtts": (plain - ours) / (self.rtt_ns / 1e6),
            "plain_send_unlock_ms": medians["send_unlock", self.baseline],
            "sut_send_unlock_ms": medians["send_unlock", self.sut],
            "drops": sum(tap.health.dropped for tap in self.trace.taps.values() if tap.health is not None),
            "asked": self.asked,
            "completed": self.completed,
        }


def compare(
    window: Window,
    traffic: Traffic,
    *,
    baseline: str,
    sut: str,
    count: int,
    rate: float,
    limits: Mapping[str, Limit] | None = None,
    **load: Any,
) -> Comparison:
    """Run ``count`` connections of each variant in alternating blocks, ABBA, with the SUT stopped in the baseline.

    Of two blocks of one variant in a row, the second finds it running: to start boxes takes longer than a block.

    ``limits`` are for budgets that name none of their own; ``load`` is passed to the traffic.

    Raises UsageError when ``count`` is too small for the blocks that a verdict needs.
    """
    if count < ALTERNATIONS * BLOCK:
        raise UsageError(
            f"count={count}: a comparison needs {ALTERNATIONS} blocks of {BLOCK}, so {ALTERNATIONS * BLOCK}"
        )
    blocks: list[Block] = []
    completed = 0
    reports: dict[str, list[TrafficReport]] = {baseline: [], sut: []}
    on_the_path: str | None = None
    for pair in range(ALTERNATIONS):
        size = count // ALTERNATIONS + (pair < count % ALTERNATIONS)
        for variant in (baseline, sut) if pair % 2 == 0 else (sut, baseline):
            with doing(lambda: f"block {len(blocks) + 1} of {2 * ALTERNATIONS}"):
                if variant != on_the_path:
                    window.stop_sut()
                    window.start_sut(variant)
                    on_the_path = variant
                start_ns = window.moment()
                report = traffic.connections(count=size, rate=rate, check_rate=False, **load)
                end_ns = window.moment()
                window.settle()
            completed += report.completed
            reports[variant].append(report)
            blocks.append(Block(variant, pair, start_ns, end_ns))
    window.stop_sut()
    _check_rates(reports, rate, baseline)
    trace = window.close()
    if trace is None or window.capture_directory is None:
        raise HarnessFault("a comparison is judged from captures, and this test is marked lab_uncaptured")
    judged = Judged(trace, window.directory, limits, bring=window.bring)
    return Comparison(baseline, sut, window.chain.rtt_ns, blocks, judged, 2 * count, completed)


def _check_rates(reports: dict[str, list[TrafficReport]], requested: float, baseline: str) -> None:
    """Requested and achieved rate may differ by 5 % over all blocks; a single block is too short to tell.

    Connections that the SUT failed are the budgets' and the test's to judge; what failed in the baseline, where no SUT
    ran, or was started late, is the environment's.
    """
    for variant, blocks in reports.items():
        started = [block.started_rate or 0.0 for block in blocks]
        established = [block.established_rate or 0.0 for block in blocks]
        left_to_the_test = variant != baseline and any(block.failed() for block in blocks)
        for verb, achieved in (("started", started), ("established", established)):
            middle = statistics.median(achieved)
            if abs(middle - requested) <= RATE_TOLERANCE * requested or (verb == "established" and left_to_the_test):
                continue
            raise EnvironmentFault(
                f"{middle:.1f} connections per second were {verb} of {requested:g} asked for, with {variant}",
                evidence="blocks: " + ", ".join(f"{each:.1f}" for each in achieved),
            )


def _median_ms(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) / 1e6 if len(known) else float("nan")
