"""Guards of the integration tests: whatever they do, the host is as before."""

from __future__ import annotations

import pytest

from support import machine


@pytest.fixture(scope="session", autouse=True)
def host_is_untouched():
    before = machine.links(), machine.named_namespaces()
    yield
    assert (machine.links(), machine.named_namespaces()) == before
