"""A quantile of a latency against a limit, a baseline, or a number of round trips saved.

Baseline and system under test are to be interleaved in alternating blocks: what drifts on the machine then drifts for
both. The interval is a bootstrap over whole blocks (Efron and Tibshirani, *An Introduction to the Bootstrap*, 8.6 and
13.3: percentiles), because connections of one block share the weather of their moment; without a baseline it is made
of order statistics.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hopscope.checks.stats import CONFIDENCE, quantile
from hopscope.checks.verdict import Fault, Outcome, Verdict
from hopscope.errors import UsageError

MINIMUM_ALTERNATIONS = 10
MINIMUM_PER_BLOCK = 25
RESAMPLES = 2000

CHUNK = 1 << 21
"""Numbers held at once while resampling."""

NEVER_NS = 1e18
"""Thirty years: what a flow that never got there is counted as. Finite, so that quantiles can be interpolated."""

ABSENT_SHARE = 0.01
"""More of the system's flows than this that never got there are a failure, whatever the quantile says."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """Exactly one of ``saves``, ``limit_ms`` and ``ratio`` is given.

    saves      "1 rtt": baseline's quantile less the system's is at least that many achieved round trips, less the
               tolerance
    limit_ms   the system's quantile is at most this, plus the tolerance
    ratio      the system's quantile is at most this times the baseline's, plus the tolerance

    ``tolerance`` is a share of the limit. ``alternations`` and ``per_block`` are the least that is worth a verdict.
    Raises UsageError when the budget itself makes no sense.
    """

    metric: str
    quantile: float = 0.5
    saves: str | None = None
    limit_ms: float | None = None
    ratio: float | None = None
    tolerance: float = 0.05
    alternations: int = MINIMUM_ALTERNATIONS
    per_block: int = MINIMUM_PER_BLOCK
    seed: int = 0

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.saves, self.limit_ms, self.ratio)) != 1:
            raise UsageError("a budget has exactly one of saves, limit_ms and ratio")
        if not 0.0 < self.quantile < 1.0:
            raise UsageError(f"the quantile of a budget lies between 0 and 1, not at {self.quantile}")
        if self.tolerance < 0:
            raise UsageError(f"a tolerance is not negative: {self.tolerance}")
        if self.saves is not None:
            round_trips(self.saves)

    @property
    def name(self) -> str:
        return f"budget {self.metric} p{self.quantile * 100:g}"

    def judge(
        self,
        baseline: ArrayLike,
        sut: ArrayLike,
        *,
        rtt_ns: float | None = None,
        baseline_blocks: ArrayLike | None = None,
        sut_blocks: ArrayLike | None = None,
    ) -> Verdict:
        """Judge samples in ns. Blocks are the number of the alternation each sample belongs to; a budget with a
        limit needs neither baseline nor blocks.

        A NaN among the system's samples (a flow that never got there) is late beyond any limit, is told, and fails the
        budget where there are more than ``ABSENT_SHARE`` of them; among the baseline's it is left out.
        """
        samples = np.asarray(sut, dtype=np.float64)
        verdict = self._judged(baseline, samples, rtt_ns, baseline_blocks, sut_blocks)
        absent = int(np.count_nonzero(np.isnan(samples) | np.isposinf(samples)))
        if not absent:
            return verdict
        what = "got a first byte" if self.metric == "ttfb" else "got there"
        told = f"{absent:,} of {len(samples):,} never {what}"
        said = replace(
            verdict, summary=f"{verdict.summary}; {told}", metrics={**verdict.metrics, "absent": absent}
        )  # fmt: skip
        if absent <= ABSENT_SHARE * len(samples):
            return said
        return replace(said, outcome=Outcome.FAIL, fault=Fault.PRODUCT, failed=max(absent, said.failed))

    def _judged(
        self,
        baseline: ArrayLike,
        sut: Floats,
        rtt_ns: float | None,
        baseline_blocks: ArrayLike | None,
        sut_blocks: ArrayLike | None,
    ) -> Verdict:
        ours = np.nan_to_num(sut, nan=NEVER_NS, posinf=NEVER_NS)
        theirs = np.asarray(baseline, dtype=np.float64)
        kept = ~np.isnan(theirs)
        theirs = theirs[kept]
        if not len(ours):
            return self._say(Outcome.INCONCLUSIVE, "no sample", 0, {})
        if self.limit_ms is not None:
            return self._against_limit(ours, self.limit_ms * 1e6)
        if not len(theirs):
            return self._say(Outcome.INCONCLUSIVE, "no baseline", len(ours), {})
        if self.saves is not None and not rtt_ns:
            return self._say(Outcome.INCONCLUSIVE, "the achieved round trip was not measured", len(ours), {})
        if sut_blocks is None or baseline_blocks is None:
            return self._say(Outcome.INCONCLUSIVE, "baseline and system were not interleaved in blocks", len(ours), {})
        our_blocks, their_blocks = np.asarray(sut_blocks), np.asarray(baseline_blocks)[kept]
        thin = self._thin(our_blocks, their_blocks)
        if thin:
            return self._say(Outcome.INCONCLUSIVE, thin, len(ours), {})
        return self._against_baseline(ours, theirs, our_blocks, their_blocks, rtt_ns or 0.0)

    def _thin(self, ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> str:
        """Why these blocks are too few or too small, or nothing."""
        blocks = np.intersect1d(ours, theirs)
        if len(blocks) < self.alternations:
            return f"{len(blocks)} alternations of baseline and system; {self.alternations} are needed"
        sizes = [int(np.count_nonzero(side == block)) for side in (ours, theirs) for block in blocks]
        if min(sizes) < self.per_block:
            return f"a block of {min(sizes)} connections; {self.per_block} are needed in each"
        return ""

    def _against_limit(self, ours: Floats, limit: float) -> Verdict:
        found = quantile(ours.tolist(), self.quantile)
        allowed = limit * (1 + self.tolerance)
        metrics = {
            "value_ns": found.value, "low_ns": found.low, "high_ns": found.high, "limit_ns": limit, "n": len(ours),
        }  # fmt: skip
        told = f"{_ms(found.value)}, 95 % within {_ms(found.low)} .. {_ms(found.high)}, limit {_ms(limit)}"
        return self._decide(allowed - found.value, allowed - found.high, allowed - found.low, told, len(ours), metrics)

    def _against_baseline(
        self,
        ours: Floats,
        theirs: Floats,
        our_blocks: NDArray[np.int64],
        their_blocks: NDArray[np.int64],
        rtt: float,
    ) -> Verdict:
        pairs = self._resample(ours, theirs, our_blocks, their_blocks)
        here, there = float(np.quantile(ours, self.quantile)), float(np.quantile(theirs, self.quantile))
        metrics = {"value_ns": here, "baseline_ns": there, "n": len(ours), "n_baseline": len(theirs)}
        if self.saves is not None:
            wanted = round_trips(self.saves) * rtt
            saved, spread = there - here, pairs[1] - pairs[0]
            least = wanted * (1 - self.tolerance)
            low, high = _interval(spread)
            metrics |= {"saved_ns": saved, "low_ns": low, "high_ns": high, "rtt_ns": rtt, "saved_rtts": saved / rtt}
            told = (
                f"saved {_ms(saved)} ({saved / rtt:.3f} round trips of {_ms(rtt)}), 95 % within {_ms(low)} .. "
                f"{_ms(high)}, wanted {_ms(wanted)}"
            )
            return self._decide(saved - least, low - least, high - least, told, len(ours), metrics)
        assert self.ratio is not None
        if not there > 0 or not (pairs[1] > 0).all():
            told = f"a ratio to a baseline of {_ms(max(there, 0.0))} says nothing"
            return self._say(Outcome.INCONCLUSIVE, told, len(ours), metrics)
        share, spread = here / there, pairs[0] / pairs[1]
        low, high = _interval(spread)
        most = self.ratio * (1 + self.tolerance)
        metrics |= {"ratio": share, "low": low, "high": high}
        told = f"{share:.3f} of the baseline's {_ms(there)}, 95 % within {low:.3f} .. {high:.3f}, limit {self.ratio:g}"
        return self._decide(most - share, most - high, most - low, told, len(ours), metrics)

    def _resample(
        self, ours: Floats, theirs: Floats, our_blocks: NDArray[np.int64], their_blocks: NDArray[np.int64]
    ) -> Floats:
        """Quantiles of the system and of the baseline over resampled alternations. Shape (2, RESAMPLES)."""
        rng = np.random.default_rng(self.seed)
        blocks = np.intersect1d(our_blocks, their_blocks)
        drawn = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=RESAMPLES)
        return np.stack(
            [
                _quantiles(values, np.searchsorted(blocks, of), drawn, self.quantile)
                for values, of in (
                    (ours[np.isin(our_blocks, blocks)], our_blocks[np.isin(our_blocks, blocks)]),
                    (theirs[np.isin(their_blocks, blocks)], their_blocks[np.isin(their_blocks, blocks)]),
                )
            ]
        )

    def _decide(self, margin: float, low: float, high: float, told: str, n: int, metrics: dict[str, float]) -> Verdict:
        """``margin`` and its interval are positive where the budget holds."""
        if low >= 0:
            return self._say(Outcome.PASS, told, n, metrics)
        if high < 0:
            return self._say(Outcome.FAIL, told, n, metrics)
        needed = samples_needed(n, margin, low, high)
        settle = f"about {needed:,} samples would settle it" if needed else "more samples are needed"
        return self._say(Outcome.INCONCLUSIVE, f"{told}: the interval straddles the limit; {settle}", n, metrics)

    def _say(self, outcome: Outcome, told: str, n: int, metrics: dict[str, float]) -> Verdict:
        return Verdict(
            self.name, outcome, told, judged=n, failed=n if outcome is Outcome.FAIL else 0, metrics=metrics
        )  # fmt: skip


def round_trips(text: str) -> float:
    """``1 rtt`` or ``0.5 RTT`` as a number. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*rtts?\s*", text, re.IGNORECASE)
    if not found:
        raise UsageError(f'saves={text!r}: write "1 rtt"')
    return float(found[1])


def samples_needed(n: int, margin: float, low: float, high: float) -> int | None:
    """How many samples bring an interval down to the margin: its half width shrinks as 1 / sqrt(n).

    None where the interval or the margin says nothing (too few samples, or an estimate that lies on the limit).
    """
    half = margin - low if margin > 0 else high - margin
    if not (math.isfinite(half) and math.isfinite(margin)) or margin == 0:
        return None
    return max(n + 1, math.ceil(n * (half / abs(margin)) ** 2))


def _quantiles(values: Floats, block: NDArray[np.int64], drawn: NDArray[np.int64], q: float) -> Floats:
    """The q-quantile (type 7) of the values of the drawn blocks, for each row of ``drawn`` (how often each block)."""
    order = np.argsort(values, kind="stable")
    ranked, block = values[order], block[order]
    out = np.empty(len(drawn))
    step = max(1, CHUNK // max(1, len(values)))
    for start in range(0, len(drawn), step):
        reach = np.cumsum(drawn[start : start + step][:, block], axis=1)
        place = q * (reach[:, -1] - 1)
        below = np.floor(place).astype(np.int64)
        low = ranked[(reach <= below[:, None]).sum(axis=1)]
        next_one = np.minimum(below + 1, reach[:, -1] - 1)
        high = ranked[(reach <= next_one[:, None]).sum(axis=1)]
        out[start : start + step] = low + (high - low) * (place - below)
    return out


def _interval(spread: Floats) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    finite = spread[~np.isnan(spread)]
    if not len(finite):
        return -math.inf, math.inf
    return float(np.quantile(finite, tail)), float(np.quantile(finite, 1 - tail))


def _ms(nanoseconds: float) -> str:
    if nanoseconds >= NEVER_NS / 2:
        return "never"
    return f"{nanoseconds / 1e6:.3f} ms"
