"""Quantiles with intervals that assume nothing about the distribution. Standard library alone.

The interval of a quantile is made of order statistics: the number of samples below the true q-quantile is binomial
(N, q), so the ranks that enclose it with a given confidence come from the binomial distribution alone
(Hahn and Meeker, *Statistical Intervals*, 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Quantile:
    """A sample quantile and its interval, in the unit of the samples. The bounds are infinite when N is too small."""

    value: float
    low: float
    high: float
    n: int

    def __iter__(self) -> Iterator[float]:
        return iter((self.value, self.low, self.high))


def quantile(values: Iterable[float], q: float, confidence: float = CONFIDENCE) -> Quantile:
    """The q-quantile (type 7, as NumPy's default) of the values that are not NaN, with its interval.

    Raises ValueError for q outside 0..1. No samples give NaN and an infinite interval: absent data is never zero.
    """
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"a quantile lies in 0..1, not {q}")
    samples = sorted(value for value in map(float, values) if not math.isnan(value))
    n = len(samples)
    if n == 0:
        return Quantile(math.nan, -math.inf, math.inf, 0)
    place = q * (n - 1)
    below = math.floor(place)
    above = min(below + 1, n - 1)
    value = samples[below] + (samples[above] - samples[below]) * (place - below)
    lower, upper = ranks(n, q, confidence)
    low = samples[lower - 1] if lower >= 1 else -math.inf
    high = samples[upper - 1] if upper <= n else math.inf
    return Quantile(value, min(low, value), max(high, value), n)  # between two samples, value may lie outside


def ranks(n: int, q: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """1-based ranks (lower, upper) whose order statistics enclose the q-quantile; 0 and n + 1 mean *unbounded*.

    Both tails get half of what the confidence leaves: P(X_(lower) > quantile) and P(X_(upper) < quantile) are each at
    most (1 - confidence) / 2.
    """
    tail = (1.0 - confidence) / 2.0
    lower, upper = 0, n + 1
    total = 0.0
    for below in range(n + 1):  # below = how many of the n samples lie under the true quantile
        total += _binomial(n, below, q)
        if total <= tail:
            lower = below + 1
        if total >= 1.0 - tail:
            upper = below + 1
            break
    return lower, upper


def _binomial(n: int, k: int, p: float) -> float:
    """P(X = k) for X ~ Binomial(n, p), through logarithms so that large n do not underflow early."""
    if p <= 0.0:
        return 1.0 if k == 0 else 0.0
    if p >= 1.0:
        return 1.0 if k == n else 0.0
    choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p))
