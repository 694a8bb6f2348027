from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.translation import PLAIN, Translation
from support.nic import ACK, MASK, RST, assert_sound, ends, load, raw, sack, stamps

U32 = st.integers(0, MASK)
client, server = ends()
ALL = SynOptions(1460, 7, True, 1000, False)


def learnt(v: int = 9000, r: int = 100, agreed: SynOptions = ALL, offered: SynOptions = ALL) -> Translation:
    return Translation.learn(v, offered, r, agreed)


def options_of(segment) -> bytes:
    return bytes(segment.buffer[segment.l4 + 20 : segment.header_end])


@given(U32, U32, U32, U32, U32, st.lists(U32, max_size=6).filter(lambda edges: len(edges) % 2 == 0), st.booleans())
def test_both_directions_in_the_numbers_of_the_other(v, r, number, server_stamp, shift, edges, odd):
    translation = learnt(v, r, ALL._replace(tsval=server_stamp))
    segment = server.segment((r + shift) & MASK, 5, ACK, options=stamps(server_stamp + number, 6), payload=b"data")
    translation.to_client(segment)
    assert_sound(segment)
    assert (segment.seq, segment.ack) == ((v + shift) & MASK, 5)
    assert options_of(segment) == stamps(v + number, 6)
    # What the client says about it comes back in the server's numbers, wherever the options lie.
    lead = b"\x01" if odd else b""
    blocks = sack(*edges) if edges else b""
    segment = client.segment(
        5,
        (v + shift) & MASK,
        ACK,
        options=lead + stamps(6, v + number)[2:] + blocks[2:] if odd else stamps(6, v + number),
    )
    translation.to_server(segment)
    assert_sound(segment)
    assert (segment.seq, segment.ack) == (5, (r + shift) & MASK)
    assert struct.pack("!I", (server_stamp + number) & MASK) in options_of(segment)
    if odd and edges:
        assert sack(*(edge - v + r for edge in edges))[2:] in options_of(segment)


@given(U32, U32, st.lists(U32, min_size=2, max_size=6).filter(lambda edges: len(edges) % 2 == 0))
def test_sack_edges_behind_time_stamps(v, r, edges):
    translation = learnt(v, r, ALL._replace(tsval=1))
    segment = client.segment(5, v, ACK, options=stamps(6, v) + sack(*edges))
    translation.to_server(segment)
    assert_sound(segment)
    assert options_of(segment) == stamps(6, 1) + sack(*(edge - v + r for edge in edges))


def test_sack_edges_of_the_server_are_the_client_s_numbers():
    segment = server.segment(100, 5, ACK, options=stamps(1, 2) + sack(7, 8))
    learnt().to_client(segment)
    assert options_of(segment)[12:] == sack(7, 8)


@pytest.mark.parametrize(
    ("window", "real", "spoofed", "expected"),
    [(64, 10, 7, 512), (65535, 10, 7, 65535), (1000, 7, 7, 1000), (1000, 2, 10, 3), (3, 0, 14, 0)],
)
def test_the_server_s_window_is_scaled_again(window, real, spoofed, expected):
    translation = learnt(agreed=ALL._replace(window_scale=real), offered=ALL._replace(window_scale=spoofed))
    segment = server.segment(100, 5, ACK, window=window)
    translation.to_client(segment)
    assert segment.window == expected
    assert_sound(segment)


def test_without_a_scale_agreed_windows_are_written_out():
    translation = learnt(agreed=ALL._replace(window_scale=None))
    segment = server.segment(100, 5, ACK, window=12800)
    translation.to_client(segment)
    assert segment.window == 100
    for window, expected in ((100, 12800), (600, 65535)):
        segment = client.segment(5, 9001, ACK, window=window)
        translation.to_server(segment)
        assert segment.window == expected
        assert_sound(segment)


def test_the_client_s_window_is_as_the_server_knows_it():
    segment = client.segment(5, 9001, ACK, window=77)
    learnt().to_server(segment)
    assert segment.window == 77


@given(st.booleans(), st.booleans())
def test_options_that_were_not_agreed_to_are_kept_from_the_server(stamps_agreed, sack_agreed):
    agreed = ALL._replace(sack_permitted=sack_agreed, tsval=50 if stamps_agreed else None)
    segment = client.segment(5, 9001, ACK, options=stamps(1, 9000) + sack(9100, 9200))
    learnt(agreed=agreed).to_server(segment)
    assert_sound(segment)
    kept_stamps = stamps(1, 50) if stamps_agreed else b"\x01" * 12
    kept_sack = sack(200, 300) if sack_agreed else b"\x01" * 12
    assert options_of(segment) == kept_stamps + kept_sack


def test_without_the_ack_flag_nothing_is_acknowledged():
    segment = client.segment(5, 0, RST, options=stamps(1, 0))
    learnt().to_server(segment)
    assert (segment.ack, options_of(segment)) == (0, stamps(1, 0))


def test_a_partial_checksum_stays_partial():
    segment = load(server.packet(100, 5, ACK, options=stamps(1, 2)), partial=True)
    before = segment.checksum
    learnt().to_client(segment)
    assert (segment.seq, segment.checksum) == (9000, before)


@given(st.binary(max_size=40), st.booleans())
def test_any_options_leave_good_checksums(options, to_client):
    options = options[: len(options) // 4 * 4]
    side = server if to_client else client
    for agreed in (ALL, ALL._replace(tsval=None, sack_permitted=False, window_scale=None)):
        segment = side.segment(100, 9000, ACK, options=options)
        translation = learnt(agreed=agreed)
        (translation.to_client if to_client else translation.to_server)(segment)
        assert_sound(segment)


def test_plain_changes_nothing():
    segment = client.segment(5, 6, ACK, options=stamps(1, 2))
    before = raw(segment)
    PLAIN.to_server(segment)
    PLAIN.to_client(segment)
    assert raw(segment) == before
