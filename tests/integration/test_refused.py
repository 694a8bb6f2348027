"""A server that refuses: the client hears of it as soon as the server's answer is there, and not by its own timeout."""

from __future__ import annotations

import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.teardown import teardown
from support.conversations import call

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_refused_port_reaches_the_client_as_a_reset(chain, trace, sut):
    """The client was promised a connection before the server could refuse it; its numbers are the client's own."""
    seen = call(chain, "last")
    assert seen["connected"] is True
    assert seen["error"] == "ConnectionResetError"
    judged = trace()
    assert len(judged.trace) == 1
    judged.expect(teardown(), checksums())
