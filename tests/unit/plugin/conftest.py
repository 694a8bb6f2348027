"""Sessions of pytest with the plugin, as its tests start them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.sessions import Sessions


@pytest.fixture(scope="session")
def sessions() -> Iterator[Sessions]:
    with Sessions() as started:
        yield started


@pytest.fixture
def run(sessions: Sessions, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``run(*arguments)``: pytest with the plugin, and no other but those that the arguments name."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return lambda *args: sessions.run(pytester.path, "-p", "hopscope.plugin", "--strict-markers", *args)
