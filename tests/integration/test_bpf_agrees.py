"""One core, two engines: what the kernel's program does to a segment is what the core does to it, octet for octet."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic
from hopscope_nic.errors import EnvironmentFault
from support.kernel import GIVEN, TO_ROUTER, Kernel, frame
from support.nic import (
    ACK,
    ECE,
    FIN,
    MASK,
    PSH,
    RST,
    SECRET,
    SYN,
    URG,
    ends,
    linux_syn_options,
    linux_synack_options,
    load,
    raw,
    sack,
    sent,
    stamps,
    word_sum,
)  # fmt: skip

pytestmark = pytest.mark.integration

C, R = 7, 99
client, server = ends()


def opened(machine, agreed: bytes):
    isn = sent(machine.receive(CLIENT, client.segment(C, 0, SYN, options=linux_syn_options()), 0.0), CLIENT)[0].seq
    machine.receive(CLIENT, client.segment(C + 1, isn + 1, ACK), 0.0)
    machine.receive(SERVER, server.segment(R, C + 1, SYN | ACK, options=agreed), 0.0)
    return machine


AGREED = (linux_synack_options(scale=10), linux_synack_options(scale=3), linux_synack_options()[:4])


@pytest.fixture(scope="module")
def kernels() -> Iterator[dict[bytes, Kernel]]:
    made = {}
    try:
        for agreed in AGREED:
            made[agreed] = kernel = Kernel(HoldClientNic(SECRET))
            kernel.flows.note(CLIENT, frame(client.packet(C + 1, 1, ACK)))
            opened(kernel.machine, agreed)
            kernel.flows.settle()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    yield made
    for kernel in made.values():
        kernel.stop()


def routed(packet: bytes) -> bytes:
    """As the kernel's router leaves it."""
    head = packet[:8] + bytes((packet[8] - 1,)) + packet[9:10] + bytes(2) + packet[12:20]
    return head[:10] + struct.pack("!H", 0xFFFF - word_sum(head)) + head[12:] + packet[20:]


OPTIONS = st.sampled_from(
    (
        b"", stamps(MASK - 5, 5), stamps(5, MASK), stamps(1, 2) + sack(3, 4), sack(MASK, 4, 9, 12),
        stamps(1, 2) + sack(3, 4, 5, 6, 7, 8), sack(1, 2, 3, 4, 5, 6, 7, 8), sack(3, 4) + stamps(1, 2),
        b"\1" * 12, b"\x08" * 12, b"\1\1\5\x0a" + bytes(4), b"\1\1\5\x22" + bytes(8), b"\2\4\5\xb4",
    )
)  # fmt: skip
FLAGS = st.sampled_from(
    (*[ACK] * 12, ACK | PSH, ACK | URG, ACK | ECE, PSH, 0, ACK | FIN, RST, RST | ACK, FIN, SYN | ACK, SYN | FIN)
)


@given(
    agreed=st.sampled_from(AGREED),
    side=st.sampled_from((CLIENT, SERVER)),
    seq=st.integers(0, MASK),
    ack=st.integers(0, MASK),
    window=st.integers(0, 65535),
    flags=FLAGS,
    options=OPTIONS,
    payload=st.binary(max_size=5),
    ttl=st.integers(1, 255),
    ip_options=st.sampled_from((*[b""] * 9, b"\1\1\1\0")),
    fragment=st.sampled_from((*[0x4000] * 9, 0, 0x2000, 0x2001)),
    spoilt=st.booleans(),
    extra=st.sampled_from((b"", b"\0\0\0")),
)
@settings(max_examples=800)
def test_what_the_kernel_carries_is_what_the_core_would_send(
    kernels, agreed, side, seq, ack, window, flags, options, payload, ttl, ip_options, fragment, spoilt, extra
):
    packet = (client, server)[side].packet(
        seq, ack, flags, window=window, options=options, payload=payload, ttl=ttl, ip_options=ip_options,
        fragment=fragment,
    )  # fmt: skip
    if spoilt:
        at = (packet[0] & 15) * 4 + 16
        packet = packet[:at] + bytes((packet[at] ^ 0x55,)) + packet[at + 1 :]
    kernel = kernels[agreed]
    outcome, after = kernel.run(side, packet + extra)
    if fragment & 0x1FFF:
        assert outcome == TO_ROUTER, "a later fragment has no ports: nobody can tell whose it is"
        assert after == packet + extra
        return
    if outcome == GIVEN:
        kernel.flows.note(side, frame(packet))
        kernel.flows.settle()
        ordinary = flags in (ACK, ACK | PSH) and not options and not ip_options and ttl > 1 and fragment in (0, 0x4000)
        declined = agreed is AGREED[2]
        assert declined or not ordinary, "the kernel leaves to user space what it should carry"
        return
    assert outcome == TO_ROUTER
    assert after.endswith(extra)
    (action,) = opened(HoldClientNic(SECRET), agreed).receive(side, load(packet), 1.0)
    assert routed(after[: len(after) - len(extra)]) == raw(action.packet)


def test_a_flow_that_is_not_open_is_user_spaces(kernels):
    stranger, _ = ends(4711)
    assert kernels[AGREED[0]].is_given(CLIENT, stranger.packet(1, 2, ACK))


def test_another_port_is_the_routers(kernels):
    packet = client.packet(1, 2, ACK)
    packet = packet[:22] + struct.pack("!H", 9) + packet[24:]
    assert kernels[AGREED[0]].run(CLIENT, packet) == (TO_ROUTER, packet)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_nothing_overtakes_a_segment_that_waits_in_user_space(side):
    try:
        kernel = Kernel(HoldClientNic(SECRET))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    ours, other = (client, server)[:: 1 - 2 * side]
    opened(kernel.machine, AGREED[0])
    syn = client.packet(C, 0, SYN, options=linux_syn_options())
    assert kernel.is_given(CLIENT, syn)
    kernel.flows.note(CLIENT, frame(syn))
    kernel.flows.settle()
    ordinary, next_one = (ours.packet(seq, 30, ACK, options=stamps(seq, 1)) for seq in (20, 22))
    odd = ours.packet(21, 30, ACK, options=b"\1" * 12)
    assert not kernel.is_given(side, ordinary)
    assert kernel.is_given(side, odd), "such options are for user space"
    assert kernel.is_given(side, next_one), "and nothing may overtake them"
    assert not kernel.is_given(1 - side, other.packet(1, 2, ACK)), "the other direction has nothing to wait for"
    kernel.flows.note(side, frame(odd))
    kernel.flows.settle()
    assert kernel.is_given(side, next_one), "the next one had been given as well by then"
    kernel.flows.note(side, frame(next_one))
    assert kernel.is_given(side, next_one), "in our hands, not dealt with"
    kernel.flows.settle()
    assert not kernel.is_given(side, ordinary)
    kernel.stop()
