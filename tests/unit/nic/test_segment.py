from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core import segment as module
from hopscope_nic.core.segment import HEADROOM, Segment, build, reverse
from support.nic import (
    ACK,
    CLIENT_ADDRESS,
    FIN,
    RST,
    SERVER_ADDRESS,
    SYN,
    assert_sound,
    ends,
    load,
    packet,
    raw,
    stamps,
)

U32 = st.integers(0, 2**32 - 1)
U16 = st.integers(0, 2**16 - 1)
client, server = ends()


def reason(data: bytes, partial: bool = False) -> str | None:
    buffer = bytearray(HEADROOM) + data
    return Segment().load(buffer, HEADROOM, len(buffer), partial)


@given(st.binary(max_size=120))
def test_any_octets_have_a_result(data):
    assert reason(data) is None or isinstance(reason(data), str)


@given(st.binary(min_size=60, max_size=60), st.integers(0, 3))
def test_damage_to_a_good_packet_has_a_result(noise, kind):
    data = bytearray(client.packet(1, 2, (ACK, SYN, FIN | ACK, RST)[kind], payload=b"x" * 20))
    for at in range(0, len(noise) - 1, 6):
        data[noise[at] % len(data)] ^= noise[at + 1]
    reason(bytes(data))
    for end in range(len(data)):
        reason(bytes(data[:end]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", module.TRUNCATED),
        (b"\x60" + bytes(60), module.NOT_IPV4),
        (b"\x42" + client.packet(1, 2, ACK)[1:], module.MALFORMED),
        (client.packet(1, 2, ACK)[:-1], module.TRUNCATED),
        (client.packet(1, 2, ACK, fragment=0x2000), module.FRAGMENT),
        (client.packet(1, 2, ACK, fragment=0x0003), module.FRAGMENT),
        (client.packet(1, 2, ACK, protocol=17), module.NOT_TCP),
        (client.packet(1, 2, SYN | FIN), module.BAD_FLAGS),
        (client.packet(1, 2, SYN | RST), module.BAD_FLAGS),
        (client.packet(1, 2, 0), module.BAD_FLAGS),
    ],
)
def test_what_is_no_segment_has_its_reason(data, expected):
    assert reason(data) == expected


def test_checksums_are_checked_where_a_flow_changes_its_state():
    data = bytearray(client.packet(1, 2, SYN))
    data[-1] ^= 1
    assert reason(bytes(data)) == module.BAD_TCP_CHECKSUM
    assert reason(bytes(data), partial=True) is None
    data = bytearray(client.packet(1, 2, ACK))
    data[8] ^= 1
    assert reason(bytes(data)) == module.BAD_IP_CHECKSUM


def test_fields():
    segment = client.segment(5, 6, ACK | FIN, window=7, payload=b"abc", options=stamps(1, 2), ttl=9)
    assert (segment.seq, segment.ack, segment.window, segment.payload_length, segment.ttl) == (5, 6, 7, 3, 9)
    assert segment.next_seq == 5 + 3 + 1
    assert segment.key == CLIENT_ADDRESS + SERVER_ADDRESS + (40000).to_bytes(2, "big") + (8080).to_bytes(2, "big")
    assert reverse(segment.key) == server.segment(1, 2, ACK).key


def test_ip_options_move_the_tcp_header():
    segment = client.segment(5, 6, ACK, ip_options=bytes((7, 7, 4, 0, 0, 0, 0)), payload=b"abc")
    assert segment.key == client.segment(5, 6, ACK).key
    segment.set_seq(9)
    assert segment.route()
    assert_sound(segment)


def test_padding_behind_the_packet_is_not_part_of_it():
    buffer = bytearray(HEADROOM) + client.packet(1, 2, ACK) + bytes(6)
    segment = Segment()
    assert segment.load(buffer, HEADROOM, len(buffer)) is None
    assert (segment.payload_length, segment.end) == (0, len(buffer) - 6)


@given(U32, U32, U32, U32, U16, U16, st.integers(2, 255), st.binary(max_size=9), st.booleans())
def test_edits_keep_both_checksums(seq, ack, new_seq, new_ack, window, new_window, ttl, payload, with_ip_options):
    segment = client.segment(
        seq, ack, ACK, window=window, ttl=ttl, payload=payload, ip_options=b"\x07\x03\x00" if with_ip_options else b""
    )
    segment.set_seq(new_seq)
    segment.set_ack(new_ack)
    segment.set_window(new_window)
    segment.set_flags(ACK | 8)
    assert segment.route()
    assert_sound(segment)
    assert (segment.seq, segment.ack, segment.window, segment.ttl) == (new_seq, new_ack, new_window, ttl - 1)


def test_a_partial_checksum_is_left_alone():
    segment = load(client.packet(1, 2, ACK), partial=True)
    before = segment.checksum
    segment.set_seq(77)
    assert segment.checksum == before
    assert raw(segment)[36:38] == before.to_bytes(2, "big")


def test_the_last_hop_is_refused():
    segment = client.segment(1, 2, ACK, ttl=1)
    before = raw(segment)
    assert not segment.route()
    assert raw(segment) == before


@given(U32, U32, U16, st.sampled_from((ACK, SYN | ACK, RST, RST | ACK)))
def test_a_built_segment_is_sound(seq, ack, window, flags):
    segment = build(client.segment(1, 2, ACK).key, seq, ack, flags, window, stamps(3, 4))
    assert_sound(segment)
    assert raw(segment)[12:20] == CLIENT_ADDRESS + SERVER_ADDRESS
    assert segment.head == HEADROOM


def test_a_copy_lasts():
    segment = client.segment(1, 2, ACK, payload=b"abc")
    twin = segment.copy()
    segment.set_seq(99)
    assert (twin.seq, raw(twin)) == (1, client.packet(1, 2, ACK, payload=b"abc"))


def test_packets_of_the_helper_are_what_a_kernel_would_send():
    assert packet(CLIENT_ADDRESS, SERVER_ADDRESS, 1, 2, 0, 0, SYN)[:1] == b"\x45"
