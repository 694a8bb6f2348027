from __future__ import annotations

import pytest

from hopscope_nic.core.flow import CLOSING, GONE, OPEN, REFUSED, TRANSITIONS, WAITING, Flow
from hopscope_nic.core.options import SynOptions

KEY = bytes((10, 1, 0, 10, 10, 1, 2, 10)) + bytes((0x9C, 0x40, 0x1F, 0x90))


def flow() -> Flow:
    return Flow(KEY, 1, 2, SynOptions(None, None, False, None, False), 0.0)


def test_it_begins_waiting_and_every_state_ends():
    assert flow().state == WAITING
    assert set(TRANSITIONS) == {WAITING, OPEN, CLOSING, REFUSED, GONE}
    assert all(GONE in onward for state, onward in TRANSITIONS.items() if state != GONE)
    assert not TRANSITIONS[GONE]


def test_no_other_way():
    one = flow()
    one.move(REFUSED)
    with pytest.raises(AssertionError, match="no way from refused to open"):
        one.move(OPEN)


def test_for_people():
    assert flow().describe() == "10.1.0.10:40000>10.1.2.10:8080"
