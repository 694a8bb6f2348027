from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.checks.latency import Limit
from hopscope.model.document import load_topology
from hopscope.plugin.limits import limits

pytest_plugins = ["pytester"]
CHAIN = Path(__file__).parents[3] / "fixtures" / "topologies" / "chain.yaml"


def test_the_topologys_limit_is_for_its_own_round_trip_and_wins_over_the_ini_files() -> None:
    topology = load_topology(CHAIN).model_copy(update={"budgets": {"ttfb": 45.0}})
    assert limits({"ttfb": 100.0, "fct": 300.0}, topology) == {
        "ttfb": Limit(45.0, "topology chain"),
        "fct": Limit(300.0, "ini fct_budget_ms"),
    }


@pytest.mark.parametrize("text", ["fast", "0", "-3", "nan", "inf"])
def test_an_ini_limit_that_makes_no_sense_is_a_usage_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(f"[pytest]\nttfb_budget_ms = {text}\n")
    pytester.makepyfile("def test_x(): pass")
    result = pytester.runpytest_subprocess("-p", "hopscope.plugin", timeout=60)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*ttfb_budget_ms = {text}: must be a number of milliseconds above 0"])
