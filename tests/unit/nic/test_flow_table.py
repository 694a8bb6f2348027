from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.flow import CLOSING, OPEN, REFUSED, Flow
from hopscope_nic.core.flow_table import FlowTable
from hopscope_nic.core.options import SynOptions

NOTHING = SynOptions(None, None, False, None, False)


def flow(number: int) -> Flow:
    return Flow(number.to_bytes(12, "big"), 1, 2, NOTHING, 0.0)


def test_found_from_either_direction():
    table = FlowTable(4)
    one = flow(0x0A0100010A01020A9C401F90)
    table.add(one)
    assert table.by_client[one.key] is table.by_server[one.back_key] is one
    table.remove(one)
    assert not table.by_client
    assert not table.by_server


def test_what_is_over_makes_room_before_what_is_embryonic_and_open_flows_never():
    table = FlowTable(3)
    waiting, opened, closing = flow(1), flow(2), flow(3)
    for one in (waiting, opened, closing):
        assert table.victim() is None
        table.add(one)
    table.move(opened, OPEN)
    table.establish(opened)
    table.move(closing, CLOSING)
    assert table.victim() is closing
    table.remove(closing)
    table.add(flow(4))
    assert table.victim() is waiting
    for one in list(table):
        if one is not opened:
            table.move(one, OPEN)
            table.establish(one)
    assert table.victim() is None
    assert table.full
    with pytest.raises(AssertionError):
        table.add(flow(5))


def test_only_the_last_time_counts():
    table = FlowTable(4)
    one = flow(1)
    table.add(one)
    table.schedule(one, 5.0)
    table.schedule(one, 9.0)
    assert table.next_deadline() == 9.0
    assert table.due(8.0) == []
    assert table.due(9.0) == [one]
    assert table.next_deadline() is None


@given(st.lists(st.tuples(st.sampled_from("asmrd"), st.integers(0, 9)), max_size=80))
def test_any_use_keeps_it_bounded_and_consistent(steps):
    table = FlowTable(5)
    now = 0.0
    for what, number in steps:
        now += 1
        key = number.to_bytes(12, "big")
        known = table.by_client.get(key)
        if what == "a" and known is None:
            victim = table.victim()
            if victim is not None:
                table.remove(victim)
            if not table.full:
                table.add(flow(number))
                table.schedule(table.by_client[key], now + number)
        elif known is not None and what == "s":
            table.schedule(known, now + number)
        elif known is not None and what == "m" and known.state == "waiting":
            table.move(known, (OPEN, REFUSED, CLOSING)[number % 3])
        elif known is not None and what == "r":
            table.remove(known)
        elif what == "d":
            for one in table.due(now):
                table.schedule(one, now + 3)
        assert len(table) == len(table.by_server) <= 5
        deadline = table.next_deadline()
        assert (deadline is None) == (len(table) == 0)


def test_old_times_do_not_pile_up():
    table = FlowTable(2)
    one = flow(1)
    table.add(one)
    for at in range(20000):
        table.schedule(one, float(at))
    assert len(table._schedule) < 2000
    assert table.next_deadline() == 19999.0
