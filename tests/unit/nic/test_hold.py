from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.hold import OVERHEAD, Held, HoldPool
from support.nic import ACK, FIN, ends

client, _ = ends()


def test_order_and_repetitions():
    held = Held(HoldPool(10**6), 10**6)
    segments = [client.segment(seq, 1, ACK, payload=b"ab") for seq in (5, 1, 3)]
    assert all(held.add(segment) for segment in segments)
    assert held.is_repetition(client.segment(1, 9, ACK, payload=b"ab"))
    assert not held.is_repetition(client.segment(1, 9, ACK | FIN, payload=b"ab"))
    assert [segment.seq for segment in held.take()] == [5, 1, 3]
    assert not held.is_repetition(segments[0])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3000)), max_size=30))
def test_no_more_than_the_bounds_and_all_is_given_back(arrivals):
    pool = HoldPool(9000)
    helds = Held(pool, 6000), Held(pool, 6000)
    for which, size in arrivals:
        helds[which].add(client.segment(1, 1, ACK, payload=bytes(size)))
        assert pool.octets == helds[0].octets + helds[1].octets <= 9000
        assert max(held.octets for held in helds) <= 6000
    for held in helds:
        held.take()
    assert pool.octets == 0


def test_an_empty_segment_costs_too():
    held = Held(HoldPool(10**6), 10**6)
    held.add(client.segment(1, 1, ACK))
    assert held.octets > OVERHEAD
