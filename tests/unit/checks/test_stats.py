from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.checks.stats import quantile, ranks

samples = st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=80)


@given(samples, st.floats(0, 1))
def test_value_is_numpys(values, q):
    assert quantile(values, q).value == pytest.approx(float(np.quantile(values, q)), rel=1e-9, abs=1e-6)


@given(samples, st.floats(0.01, 0.99))
def test_interval_encloses_the_value(values, q):
    value, low, high = quantile(values, q)
    assert low <= high
    assert low <= value + 1e-6
    assert value <= high + 1e-6


@pytest.mark.parametrize(
    ("n", "expected"), [(5, (0, 6)), (6, (1, 6)), (10, (2, 9)), (25, (8, 18)), (100, (40, 61)), (1000, (469, 532))]
)
def test_ranks_of_the_median_are_those_of_the_tables(n, expected):
    """Hahn and Meeker, table A.15a: nonparametric 95 % intervals of the median."""
    assert ranks(n, 0.5) == expected


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_coverage(q):
    """Of many samples of a skewed distribution, at least 95 % of the intervals enclose the true quantile."""
    rng = random.Random(1)
    truth = -math.log(1 - q)
    inside = 0
    for _ in range(400):
        _, low, high = quantile((rng.expovariate(1) for _ in range(120)), q)
        inside += low <= truth <= high
    assert inside >= 0.93 * 400


def test_nan_is_absent():
    found = quantile([math.nan, 1.0, 3.0, math.nan, 2.0], 0.5)
    assert (found.value, found.n) == (2.0, 3)


def test_no_sample_is_not_zero():
    found = quantile([math.nan], 0.5)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (-math.inf, math.inf, 0)


@pytest.mark.parametrize("q", [-0.1, 1.1])
def test_a_quantile_lies_between_0_and_1(q):
    with pytest.raises(ValueError):
        quantile([1.0], q)
