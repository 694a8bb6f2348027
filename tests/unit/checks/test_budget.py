"""Budgets: each kind holds, fails and straddles; thin or unpaired samples conclude nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hopscope.checks.budget import Budget, _quantiles, round_trips, samples_needed
from hopscope.checks.verdict import Outcome
from hopscope.errors import UsageError

RTT = 20e6
BLOCKS = np.repeat(np.arange(10), 25)


def latencies(middle_ms: float, spread_ms: float = 0.2, n: int = 250, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(middle_ms * 1e6, spread_ms * 1e6, n)


def judge(budget: Budget, baseline: np.ndarray, sut: np.ndarray, **more):
    return budget.judge(baseline, sut, **{"rtt_ns": RTT, "baseline_blocks": BLOCKS, "sut_blocks": BLOCKS, **more})


@pytest.mark.parametrize(
    ("sut_ms", "outcome"), [(20.4, Outcome.PASS), (21.2, Outcome.PASS), (21.7, Outcome.FAIL), (40.4, Outcome.FAIL)]
)
def test_saves_a_round_trip(sut_ms, outcome):
    verdict = judge(Budget("ttfb", saves="1 rtt", tolerance=0.05), latencies(40.4), latencies(sut_ms, seed=2))
    assert verdict.outcome is outcome, verdict.summary
    assert verdict.metrics["n"] == 250
    assert verdict.metrics["low_ns"] < verdict.metrics["saved_ns"] < verdict.metrics["high_ns"]
    assert verdict.exit_code == {Outcome.PASS: 0, Outcome.FAIL: 1}[outcome]


@pytest.mark.parametrize(("sut_ms", "outcome"), [(40.6, Outcome.PASS), (43.5, Outcome.FAIL)])
def test_ratio(sut_ms, outcome):
    verdict = judge(Budget("ttfb", ratio=1.0, tolerance=0.05), latencies(40.4), latencies(sut_ms, seed=2))
    assert verdict.outcome is outcome, verdict.summary


@pytest.mark.parametrize(("sut_ms", "outcome"), [(0.4, Outcome.PASS), (1.5, Outcome.FAIL)])
def test_limit_needs_no_baseline(sut_ms, outcome):
    verdict = Budget("send_unlock", limit_ms=1.0).judge((), latencies(sut_ms, 0.05))
    assert verdict.outcome is outcome, verdict.summary


def test_straddling_says_how_many_samples_would_settle_it():
    verdict = judge(Budget("ttfb", saves="1 rtt", tolerance=0.05), latencies(40.4, 8), latencies(21.3, 8, seed=3))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "straddles the limit; about" in verdict.summary
    needed = int(verdict.summary.rpartition("about ")[2].split()[0].replace(",", ""))
    assert needed > 250


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"sut_blocks": None}, "not interleaved"),
        ({"sut_blocks": np.repeat(np.arange(9), [25] * 8 + [50])}, "9 alternations"),
        ({"sut_blocks": np.repeat(np.arange(10), [24] + [25] * 8 + [26])}, "a block of 24"),
        ({"rtt_ns": None}, "round trip was not measured"),
    ],
)
def test_thin_samples_conclude_nothing(more, reason):
    verdict = judge(Budget("ttfb", saves="1 rtt"), latencies(40.4), latencies(20.4), **more)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert reason in verdict.summary


@pytest.mark.parametrize(("baseline", "sut"), [((), latencies(20)), (latencies(40), ())])
def test_absent_samples_conclude_nothing(baseline, sut):
    assert Budget("ttfb", ratio=1.0).judge(baseline, sut).outcome is Outcome.INCONCLUSIVE


def test_a_flow_that_never_got_there_counts_as_late():
    """Two thirds of the system's flows have no first byte: the rest must not make the median."""
    sut = latencies(20.4)
    sut[: 2 * len(sut) // 3] = math.nan
    assert judge(Budget("ttfb", saves="1 rtt"), latencies(40.4), sut).outcome is not Outcome.PASS
    assert Budget("ttfb", limit_ms=30).judge((), sut).outcome is not Outcome.PASS


@pytest.mark.parametrize("how", [{"saves": "1 rtt"}, {"limit_ms": 30.0}, {"ratio": 0.6}])
@pytest.mark.parametrize(("absent", "outcome"), [(0, Outcome.PASS), (1, Outcome.PASS), (5, Outcome.FAIL)])
def test_flows_that_never_got_there_are_told_and_fail_above_a_share(absent, outcome, how):
    sut = latencies(20.4, seed=2)
    sut[:absent] = math.nan
    verdict = judge(Budget("ttfb", **how), latencies(40.4), sut)
    assert verdict.outcome is outcome, verdict.summary
    assert (f"{absent} of 250 never got a first byte" in verdict.summary) is (absent > 0)
    assert (verdict.failed, verdict.exit_code) == ((absent, 1) if outcome is Outcome.FAIL else (0, 0))


def test_a_baseline_of_nothing_makes_no_ratio():
    verdict = judge(Budget("ttfb", ratio=1.0), np.zeros(250), np.zeros(250))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "says nothing" in verdict.summary


def test_a_few_absent_baselines_are_left_out():
    baseline = latencies(40.4)
    baseline[::50] = math.nan
    budget = Budget("ttfb", saves="1 rtt", per_block=20)
    assert judge(budget, baseline, latencies(20.4, seed=2)).outcome is Outcome.PASS


def test_the_same_samples_give_the_same_interval():
    verdicts = [judge(Budget("ttfb", saves="1 rtt"), latencies(40), latencies(20)) for _ in range(2)]
    assert verdicts[0].to_json() == verdicts[1].to_json()


def test_drift_between_blocks_widens_the_interval():
    """Connections of one block share the weather: whole blocks are drawn, not single connections."""
    drift = np.repeat(np.random.default_rng(7).normal(0, 2e6, 10), 25)
    budget = Budget("ttfb", saves="1 rtt")
    calm = judge(budget, latencies(40.4), latencies(20.4, seed=2)).metrics
    rough = judge(budget, latencies(40.4), latencies(20.4, seed=2) + drift).metrics
    assert rough["high_ns"] - rough["low_ns"] > 5 * (calm["high_ns"] - calm["low_ns"])


@pytest.mark.parametrize(
    "wrong",
    [{}, {"saves": "1 rtt", "ratio": 1.0}, {"saves": "soon"}, {"ratio": 1.0, "quantile": 1.0},
     {"ratio": 1.0, "tolerance": -1.0}],
)  # fmt: skip
def test_a_budget_that_makes_no_sense(wrong):
    with pytest.raises(UsageError):
        Budget("ttfb", **wrong)


def test_round_trips():
    assert (round_trips("1 rtt"), round_trips("0.5 RTT"), round_trips("2 rtts")) == (1.0, 0.5, 2.0)


def test_samples_needed():
    assert samples_needed(100, 1.0, -1.0, 3.0) == 400
    assert samples_needed(100, 0.0, -1.0, 1.0) is None
    assert samples_needed(100, math.inf, -1.0, 1.0) is None


def test_resampled_quantiles_are_those_of_the_drawn_blocks():
    rng = np.random.default_rng(3)
    values, block = rng.normal(size=60), np.repeat(np.arange(6), 10)
    drawn = rng.multinomial(6, np.full(6, 1 / 6), size=50)
    for q in (0.01, 0.5, 0.99):
        expected = [
            np.quantile(np.concatenate([np.tile(values[block == b], times) for b, times in enumerate(row)]), q)
            for row in drawn
        ]
        assert _quantiles(values, block, drawn, q) == pytest.approx(expected)
