from __future__ import annotations

from collections.abc import Callable

import pytest

from hopscope.checks.latency import METRICS, Limit, budget
from hopscope.checks.verdict import Outcome
from hopscope.errors import UsageError
from hopscope.wire import metrics
from hopscope.wire.trace import Trace
from support import golden
from support.golden import Recipe

MANY = Recipe("plain", flows=12)
"""Enough for an interval around the median."""

Load = Callable[..., Trace]


def test_the_median_of_plain_tcp_is_two_round_trips(load: Load) -> None:
    trace = load(MANY)
    assert budget("ttfb", limit_ms=45)(trace).outcome is Outcome.PASS
    verdict = budget("ttfb", limit_ms=35)(trace)
    assert (verdict.outcome, verdict.judged, verdict.failed) == (Outcome.FAIL, 12, 12)
    assert "limit 35.000 ms (of the test)" in verdict.summary
    assert "slow: 12 flows, the last after 4" in verdict.summary
    assert verdict.evidence[0].expected == "ttfb within 35 ms"
    assert verdict.evidence[0].seen.startswith("slow: it came after 4")
    assert len(verdict.evidence[0].frames) == 2


def test_a_flow_that_never_got_there_is_broken_and_not_slow(load: Load) -> None:
    def silence(chain: golden.Chain) -> None:
        for label in {frame.label for frame in chain.taps["client-eth0"] if frame.label.startswith("response")}:
            for flow in range(10):
                golden.drop_from(chain, label, ("client-eth0",), flow=flow)

    verdict = budget("ttfb", limit_ms=45)(load(MANY, silence))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.summary.startswith("never, 95 % within ")
    assert "slow: 1 flow, the last after 60." in verdict.summary, "flow 1 loses a segment, which is sent again"
    assert "broken: 9 flows never got there" in verdict.summary
    assert [item.seen.partition(":")[0] for item in verdict.evidence[:3]] == ["slow", "broken", "broken"]
    assert verdict.evidence[1].seen == "broken: it never came"


def test_the_limit_of_the_test_wins_over_a_configured_one_and_none_is_a_usage_error(load: Load) -> None:
    from hopscope.plugin.limits import configured

    limits = {"ttfb": Limit(35, "ini ttfb_budget_ms")}
    assert "(of ini ttfb_budget_ms)" in configured(budget("ttfb"), limits)(load(MANY)).summary
    assert configured(budget("ttfb", limit_ms=45), limits)(load(MANY)).outcome is Outcome.PASS
    with pytest.raises(
        UsageError, match="no limit for fct: give limit_ms=, or fct_budget_ms in the ini file, or fct_ms"
    ):
        configured(budget("fct"), limits)(load(MANY))


def test_what_cannot_be_measured_is_inconclusive(load: Load) -> None:
    assert budget("ttfb", limit_ms=1)(load(Recipe("plain", flows=1))).outcome is Outcome.INCONCLUSIVE, "one sample"
    trace = load(MANY)
    nothing = trace.select(start_ns=0, end_ns=1)
    assert budget("ttfb", limit_ms=45)(nothing).summary == "no flow lies wholly within the captures"


def test_metrics_are_those_of_the_wire() -> None:
    from hopscope.plugin import limits

    assert METRICS == limits.METRICS
    with pytest.raises(UsageError, match="'ttbf' is no latency of a flow; there is ttfb, send_unlock, fct, server_gap"):
        budget("ttbf", limit_ms=1)
    with pytest.raises(UsageError):
        budget("ttfb", limit_ms=1, quantile=2)


def test_metrics_name_what_is_measured(load: Load) -> None:
    assert tuple(metrics.per_flow(load(Recipe("plain", flows=1)))) == METRICS
