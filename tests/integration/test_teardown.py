"""Connections end on both sides as their applications ended them, through a rewriter as without one."""

from __future__ import annotations

import pytest

from support import conversations, talk
from support.conversations import call, claim, patient, serving

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

#: Who ends how, (caller, server); ``reset`` is SO_LINGER 0. The error is what the caller sees after all bytes.
MANNERS = {
    "server first": ("last", "first", None),
    "client first, half-close": ("half", "last", None),
    "both at once": ("half", "first", None),
    "server half-close": ("last", "half", None),
    "client reset": ("reset", "last", None),
    "server reset": ("last", "reset", "ConnectionResetError"),
}


@pytest.mark.parametrize("sut", ["stamp", "hold", "kernel"])
def test_an_end_is_an_end_on_both_sides(chain, capture, trace, test_directory, sut):
    """One conversation for each way to end one, and a FIN made by hand that crosses the server's on its way.

    Afterwards the boxes forget them all.
    """
    for caller, server, error in MANNERS.values():
        with serving(chain, server, test_directory):
            seen = call(chain, caller)
        assert seen == {"connected": True, "bytes": talk.RESPONSE, "error": error}, (caller, server)
    with conversations.hands_off(chain), serving(chain, "first", test_directory):
        seen = conversations.craft(chain, "simultaneous", from_port=39010)
    assert (seen["bytes"], seen["ended"]) == (talk.RESPONSE, True)

    capture.settle()
    capture.wait_tables(lingering=True)
    judged = trace()
    assert len(judged.trace) == len(MANNERS) + 1
    judged.expect(*patient(), placement=claim(sut))


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_resets_under_load(traffic, trace, sut):
    report = traffic.connections(count=100, rate=100, close="rst")
    assert report.completed == 100, report.explain()
    trace().expect(placement=sut)
