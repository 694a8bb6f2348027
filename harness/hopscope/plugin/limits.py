"""Limits of latencies that are configured: ``ttfb_budget_ms`` in the ini file, ``budgets:`` in the topology.

The topology's are for its own round trip and win over the ini file's; a test's own ``limit_ms`` wins over both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

# pytest reads the options in every session; NumPy is for those that judge something.
if TYPE_CHECKING:
    from hopscope.checks.check import Check
    from hopscope.checks.latency import Limit
    from hopscope.model.topology import Topology

METRICS = ("ttfb", "send_unlock", "fct", "server_gap")
"""As in ``hopscope.checks.latency``."""


def add(parser: pytest.Parser) -> None:
    for metric in METRICS:
        parser.addini(f"{metric}_budget_ms", f"limit of {metric} in ms, for checks that name none: budget({metric!r})")


def resolve(config: pytest.Config) -> dict[str, float]:
    """Limits of the ini file by metric. pytest.UsageError for one that is no number of milliseconds above 0."""
    found = {}
    for metric in METRICS:
        text = str(config.getini(f"{metric}_budget_ms") or "")
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise pytest.UsageError(f"{metric}_budget_ms = {text}: must be a number of milliseconds above 0")
        found[metric] = value
    return found


def limits(ini: Mapping[str, float], topology: Topology) -> dict[str, Limit]:
    """What counts on this topology."""
    from hopscope.checks.latency import Limit

    found = {metric: Limit(value, f"ini {metric}_budget_ms") for metric, value in ini.items()}
    return found | {metric: Limit(value, f"topology {topology.name}") for metric, value in topology.budgets.items()}


def configured(check: Check, limits: Mapping[str, Limit]) -> Check:
    """The same check with the limits, if it takes them."""
    from hopscope.checks.latency import LatencyBudget

    return replace(check, limits=limits) if isinstance(check, LatencyBudget) else check
