"""The same addresses and ports, used again: every use is a connection of its own, with numbers of its own."""

from __future__ import annotations

import pytest

from hopscope.checks.checksums import checksums
from hopscope.checks.translation import translation
from support import conversations, talk

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

USES = 4


@pytest.mark.parametrize("sut", ["stamp", "hold", pytest.param("kernel", marks=pytest.mark.nightly)])
def test_a_port_is_used_again_while_its_last_flow_is_still_remembered(chain, trace, test_directory, sut):
    """After a close by the server (which keeps TIME_WAIT) and after a reset, each well within a rewriter's memory."""
    for port, caller, server, from_port in ((8080, "last", "first", 38000), (8081, "reset", "last", 38001)):
        with conversations.serving(chain, server, test_directory, port=port, count=USES):
            seen = conversations.again(chain, caller, USES, port=port, from_port=from_port)
        assert seen == [{"connected": True, "bytes": talk.RESPONSE, "error": None}] * USES
    judged = trace()
    assert sorted(judged.trace.generation) == sorted([*range(USES), *range(USES)])
    judged.expect(*conversations.patient(), placement=conversations.claim(sut))
    if sut == "kernel":  # how tshark tells one use from the next does not depend on the boxes
        assert judged.second_opinion(sample=3).judged > 0


@pytest.mark.parametrize("sut", ["stamp", "hold"])
def test_a_new_isn_on_a_live_connection_begins_a_new_one(chain, trace, test_directory, sut):
    """The client has started anew without a word; the server's half of the old connection is ended for it."""
    with conversations.hands_off(chain), conversations.serving(chain, "last", test_directory, count=2):
        seen = conversations.craft(chain, "anew", from_port=39030)
    assert seen["answers"][0] != seen["answers"][1]
    assert (seen["first"], seen["bytes"], seen["ended"]) == (talk.RESPONSE, talk.RESPONSE, True)
    judged = trace()
    assert sorted(judged.trace.generation) == [0, 1]
    judged.expect(translation(), checksums())
