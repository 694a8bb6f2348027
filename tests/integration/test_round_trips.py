"""Which end measures the box in place of the path, on real kernels."""

from __future__ import annotations

import pytest

from hopscope.checks.round_trips import round_trips

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]


@pytest.mark.parametrize(("sut", "early"), [("kernel", set()), ("hold", {"client"}), ("stamp", {"client", "server"})])
def test_who_is_answered_early_measures_the_box(traffic, trace, sut, early):
    assert traffic.connections(count=10, rate=100).completed == 10
    verdict = trace().judge(round_trips())[0]
    assert (set(verdict.metrics), verdict.judged) == (early, 10), verdict.summary
