"""Hooks that Hopscope calls: how a conftest.py or another plugin adds what this package does not bring."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hopscope.checks.check import Check
    from hopscope.checks.verdict import Verdict
    from hopscope.errors import HopscopeError
    from hopscope.model.sut import Sut
    from hopscope.model.topology import Topology
    from hopscope.providers.provider import Provider


@pytest.hookspec(firstresult=True)
def pytest_hopscope_provider(config: pytest.Config, name: str) -> Provider | None:
    """The provider that ``--lab-provider NAME`` means, or None for names that are not yours.

    Asked once at the start, when the name is none of the built-in ones, and once for each lab that is acquired.
    """


@pytest.hookspec(firstresult=True)
def pytest_hopscope_sut(config: pytest.Config, name: str, topology: Topology) -> Sut | None:
    """The system under test of this name on this topology, or None for names that are not yours.

    Asked before the topology's own SUTs, files and built-in ones are looked at.
    """


def pytest_hopscope_check(config: pytest.Config, topology: Topology) -> Check | Iterable[Check] | None:
    """Checks that ``trace().expect()`` judges besides the standard ones when it is called without any."""


def pytest_hopscope_cause(item: pytest.Item, fault: HopscopeError) -> str | None:
    """Why a test may have failed, in words: what you know about your system and the fault does not say.

    Called for each fault that ends a test or its set-up; what is returned is shown in the report, and decides nothing.
    """


def pytest_hopscope_finding(item: pytest.Item, verdict: Verdict) -> None:
    """A verdict that is FAIL or INCONCLUSIVE, of each test, also where the test expected it: for your own records."""
