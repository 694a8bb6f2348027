"""Any segments, in any order, at any time: no exception, only sound packets out, bounded state, all forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translator import at_or_after
from support.nic import ACK, FIN, MASK, PSH, RST, SECRET, SYN, ends, linux_syn_options, sack, sent, stamps

LIMITS = Limits(flows=3, hold_per_flow=8000, hold_total=12000)
PORTS = (1, 2, 3, 4, 5)
OPTIONS = (b"", linux_syn_options(), stamps(1, 2), stamps(1, 2) + sack(1, 2, 3, 4), bytes((19, 18)) + bytes(16))
NUMBERS = st.sampled_from((0, 1, 2, 3, 100, MASK, MASK - 1, 2**31))
SEGMENTS = st.tuples(
    st.sampled_from((CLIENT, SERVER)),
    st.sampled_from(PORTS),
    NUMBERS,
    NUMBERS,
    st.sampled_from((SYN, SYN | ACK, ACK, ACK | PSH, ACK | FIN, RST, RST | ACK)),
    st.sampled_from(OPTIONS),
    st.sampled_from((0, 1, 1000)),
    st.sampled_from((1, 64)),
    st.floats(0, 40),
)


def machines():
    return (
        HoldClientNic(SECRET, LIMITS),
        StampClientNic(SECRET, LIMITS),
        ServerNic(LIMITS),
    )


@pytest.mark.parametrize("which", [0, 1, 2], ids=("hold", "stamp", "servernic"))
@given(st.lists(SEGMENTS, max_size=40))
def test_any_segments(which, arrivals):
    nic = machines()[which]
    now = 0.0
    for side, port, seq, ack, flags, options, size, ttl, pause in arrivals:
        end = ends(port=port)[side]
        segment = end.segment(seq, ack, flags, options=options, payload=bytes(size), ttl=ttl)
        assert isinstance(nic.receive(side, segment, now), list)
        sent(nic.receive(side, end.segment(seq, ack, flags, options=options, payload=bytes(size), ttl=ttl), now))
        now += pause
        sent(nic.tick(now))
        assert len(nic.flows) <= LIMITS.flows
        assert nic.pool.octets <= LIMITS.hold_total
    while len(nic.flows):
        deadline = nic.next_deadline()
        assert deadline is not None
        sent(nic.tick(max(deadline, now)))
    assert nic.pool.octets == 0
    assert nic.next_deadline() is None


@given(st.integers(0, MASK), st.integers(0, 2**31 - 1))
def test_order_in_sequence_space(left, ahead):
    assert at_or_after((left + ahead) & MASK, left)
    assert ahead == 0 or not at_or_after(left, (left + ahead) & MASK)
