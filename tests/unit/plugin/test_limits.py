from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.checks.latency import Limit
from hopscope.model.document import load_topology
from hopscope.plugin.limits import limits, resolve

CHAIN = Path(__file__).parents[3] / "fixtures" / "topologies" / "chain.yaml"


def test_the_topologys_limit_is_for_its_own_round_trip_and_wins_over_the_ini_files() -> None:
    topology = load_topology(CHAIN).model_copy(update={"budgets": {"ttfb": 45.0}})
    assert limits({"ttfb": 100.0, "fct": 300.0}, topology) == {
        "ttfb": Limit(45.0, "topology chain"),
        "fct": Limit(300.0, "ini fct_budget_ms"),
    }


class Ini:
    def __init__(self, **keys: str) -> None:
        self.keys = keys

    def getini(self, name: str) -> str:
        return self.keys.get(name, "")


def test_ini_limits_are_numbers_of_milliseconds() -> None:
    assert resolve(Ini(ttfb_budget_ms="40.5")) == {"ttfb": 40.5}


@pytest.mark.parametrize("text", ["fast", "0", "-3", "nan", "inf"])
def test_an_ini_limit_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"ttfb_budget_ms = {text}: must be a number of milliseconds above 0"):
        resolve(Ini(ttfb_budget_ms=text))
