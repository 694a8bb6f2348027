"""The short way does what the long one does, octet for octet, or it declines and has touched nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.fast_path import MINIMUM
from hopscope_nic.core.segment import HEADROOM
from support.nic import (
    ACK,
    FIN,
    MASK,
    PSH,
    RST,
    SECRET,
    SYN,
    ends,
    linux_syn_options,
    linux_synack_options,
    load,
    raw,
    sack,
    sent,
    stamps,
)

client, server = ends()
U32 = st.integers(0, MASK)


def opened(kind, agreed):
    nic = kind(SECRET)
    v = sent(nic.receive(CLIENT, client.segment(7, 0, SYN, options=linux_syn_options()), 0.0), CLIENT)[0].seq
    nic.receive(CLIENT, client.segment(8, v + 1, ACK), 0.0)
    if kind is StampClientNic:
        nic.receive(SERVER, server.segment(v + 1, 8, ACK), 0.0)
    else:
        nic.receive(SERVER, server.segment(99, 8, SYN | ACK, options=agreed), 0.0)
    return nic


AGREED = (linux_synack_options(scale=10), linux_synack_options(scale=3), linux_synack_options()[:16], b"")


@given(
    st.sampled_from((HoldClientNic, StampClientNic)),
    st.sampled_from(AGREED),
    st.sampled_from((CLIENT, SERVER)),
    U32,
    U32,
    st.integers(0, 65535),
    st.sampled_from((ACK, ACK | PSH, ACK | FIN, RST, SYN, SYN | ACK)),
    st.sampled_from(
        (b"", stamps(MASK - 5, 5), stamps(5, MASK), stamps(1, 2) + sack(3, 4), b"\x01\x01" * 6, b"\x08" * 12)
    ),
    st.binary(max_size=5),
    st.integers(1, 3),
    st.sampled_from((b"", b"\x01\x01\x01\x00")),
    st.booleans(),
    st.integers(0, 4),
)
def test_both_ways_agree(
    kind, agreed, side, seq, ack, window, flags, options, payload, ttl, ip_options, partial, padding
):
    packet = (client, server)[side].packet(
        seq, ack, flags, window=window, options=options, payload=payload, ttl=ttl, ip_options=ip_options
    )
    short, long = opened(kind, agreed), opened(kind, agreed)
    buffer = bytearray(200)
    size = HEADROOM + len(packet) + padding
    buffer[HEADROOM : HEADROOM + len(packet)] = packet
    before = bytes(buffer)
    taken = short.cross(side, buffer, size, partial, 1.0)
    if not taken:
        assert bytes(buffer) == before
        return
    (segment,) = sent(long.receive(side, load(packet, partial), 1.0), 1 - side)
    assert bytes(buffer[HEADROOM:size]) == raw(segment)
    assert (short.counters.translated, short.counters.passed) == (long.counters.translated, long.counters.passed)


@pytest.mark.parametrize("kind", [HoldClientNic, StampClientNic])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_the_middle_of_a_flow_is_taken(kind, side):
    nic = opened(kind, AGREED[0])
    for options in (b"", stamps(1, 2)):
        buffer = bytearray(HEADROOM) + (client, server)[side].packet(100, 100, ACK, options=options, payload=b"x" * 20)
        assert nic.cross(side, buffer, len(buffer), False, 1.0)


@given(st.binary(min_size=MINIMUM, max_size=150), st.sampled_from((CLIENT, SERVER)))
def test_any_octets(data, side):
    nic = opened(HoldClientNic, AGREED[0])
    buffer = bytearray(data)
    assert not nic.cross(side, buffer, len(buffer), False, 1.0)
    assert bytes(buffer) == data


@given(st.integers(0, 79), st.integers(1, 255))
def test_damaged_headers_are_declined_or_stay_damaged(at, noise):
    nic = opened(HoldClientNic, AGREED[0])
    buffer = bytearray(HEADROOM) + server.packet(100, 8, ACK, options=stamps(1, 2), payload=b"x" * 40)
    buffer[HEADROOM + at] ^= noise
    if at < 20:
        assert not nic.cross(SERVER, buffer, len(buffer), False, 1.0)


def test_ends_are_left_to_the_long_way():
    nic = opened(HoldClientNic, AGREED[0])
    v = nic.flows.by_client[client.segment(1, 2, ACK).key].spoofed_isn
    nic.receive(CLIENT, client.segment(8, v + 1, ACK | FIN), 1.0)
    buffer = bytearray(HEADROOM) + server.packet(100, 9, ACK, payload=b"x" * 40)
    assert not nic.cross(SERVER, buffer, len(buffer), False, 1.0)
