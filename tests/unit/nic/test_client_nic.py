from __future__ import annotations

import struct

import pytest

from hopscope_nic.core import options
from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.isn import spoofed_isn
from hopscope_nic.core.limits import SPOOFED_WINDOW, Limits, Link
from support.nic import (
    ACK,
    CWR,
    ECE,
    FIN,
    MASK,
    RST,
    SECRET,
    SYN,
    ends,
    linux_syn_options,
    linux_synack_options,
    raw,
    reasons,
    sack,
    sent,
    stamps,
)

client, server = ends()
C = MASK - 1  # the client's ISN: its data wraps around
R = MASK - 3  # the server's


def syn(**fields):
    fields.setdefault("options", linux_syn_options())
    return client.segment(C, 0, SYN, window=64240, **fields)


def synack(**fields):
    fields.setdefault("options", linux_synack_options())
    return server.segment(R, C + 1, SYN | ACK, window=65160, **fields)


@pytest.fixture(params=(HoldClientNic, StampClientNic))
def nic(request):
    return request.param(SECRET)


@pytest.fixture
def hold():
    return HoldClientNic(SECRET)


@pytest.fixture
def stamp():
    return StampClientNic(SECRET)


def answered(nic, now=0.0):
    """V, after the client's SYN."""
    return sent(nic.receive(CLIENT, syn(), now), CLIENT)[0].seq


def opened(nic, now=0.0):
    """V, after both SYNs and the client's ACK."""
    v = answered(nic, now)
    nic.receive(CLIENT, client.segment(C + 1, v + 1, ACK, options=stamps(1, v)), now)
    nic.receive(SERVER, synack(), now)
    return v


# -- the early answer, in both placements


def test_the_client_is_answered_before_the_syn_goes_on(nic):
    actions = nic.receive(CLIENT, syn(), 7.0)
    assert [action.side for action in actions] == [CLIENT, SERVER]
    answer, forwarded = sent(actions)
    v = spoofed_isn(SECRET, syn().key, 7.0)
    assert (answer.seq, answer.ack, answer.flags, answer.window) == (v, (C + 1) & MASK, SYN | ACK, SPOOFED_WINDOW)
    assert answer.key == synack().key
    offered = options.read_syn(answer.buffer, answer.l4 + 20, answer.header_end)
    assert offered == options.SynOptions(1460, 7, True, v, False)
    assert struct.pack("!II", v, 1000) in raw(answer)
    assert (forwarded.seq, forwarded.flags, forwarded.ttl) == (C, SYN, 63)
    assert forwarded.ack == (v if isinstance(nic, StampClientNic) else 0)
    assert raw(forwarded)[40:] == linux_syn_options()


def test_only_what_was_offered_is_promised(nic):
    answer = sent(nic.receive(CLIENT, syn(options=b"\x02\x04\x02\x00"), 0.0), CLIENT)[0]
    assert options.read_syn(answer.buffer, answer.l4 + 20, answer.header_end) == options.SynOptions(
        512, None, False, None, False
    )


def test_the_mss_fits_the_ports():
    answer = sent(HoldClientNic(SECRET, links=(Link(9000), Link(1400))).receive(CLIENT, syn(), 0.0), CLIENT)[0]
    assert options.read_syn(answer.buffer, answer.l4 + 20, answer.header_end).mss == 1360


def test_a_request_for_ecn_is_taken_out(nic):
    segment = client.segment(C, 0, SYN | ECE | CWR)
    answer, forwarded = sent(nic.receive(CLIENT, segment, 0.0))
    assert (answer.flags, forwarded.flags) == (SYN | ACK, SYN)


def test_a_signed_syn_is_not_answered_and_its_flow_passes(nic):
    signed = syn(options=bytes((1, 1, options.MD5, 18)) + bytes(16))
    assert [segment.ack for segment in sent(nic.receive(CLIENT, signed, 0.0), SERVER)] == [0]
    (real,) = sent(nic.receive(SERVER, synack(), 0.0), CLIENT)
    assert (real.seq, real.ack) == (R, (C + 1) & MASK)
    (ack,) = sent(nic.receive(CLIENT, client.segment(C + 1, R + 1, ACK), 0.0), SERVER)
    assert ack.ack == (R + 1) & MASK


def test_a_repeated_syn_gets_the_same_answer_and_makes_no_new_flow(nic):
    v = answered(nic)
    answer, forwarded = sent(nic.receive(CLIENT, syn(), 1.0))
    assert (answer.seq, len(nic.flows)) == (v, 1)
    assert forwarded.ack == (v if isinstance(nic, StampClientNic) else 0)


def test_a_new_isn_on_the_same_ports_is_a_new_flow(nic):
    v = opened(nic)
    again = client.segment(C + 99, 0, SYN, options=linux_syn_options())
    answer = sent(nic.receive(CLIENT, again, 9.0), CLIENT)[0]
    assert answer.seq not in (v, 0)
    assert answer.ack == (C + 100) & MASK
    assert len(nic.flows) == 1


def test_the_syn_is_sent_again_until_the_client_is_turned_away(nic):
    v = answered(nic)
    nic.receive(CLIENT, client.segment(C + 1, v + 1, ACK), 0.0)
    at = []
    actions = []
    while len(nic.flows):
        now = nic.next_deadline()
        found = nic.tick(now)
        at += [now] * len(sent(found, SERVER))
        actions += found
    assert at == [1.0, 3.0, 7.0, 15.0, 31.0]
    stamp_of = {segment.ack for segment in sent(actions, SERVER)}
    assert stamp_of == {v if isinstance(nic, StampClientNic) else 0}
    (reset,) = sent(actions, CLIENT)
    assert (reset.seq, reset.ack, reset.flags) == ((v + 1) & MASK, (C + 1) & MASK, RST | ACK)
    assert nic.counters.gave_up == 1


def test_for_a_client_that_never_speaks_nothing_is_sent_again(nic):
    answered(nic)
    while len(nic.flows):
        assert nic.tick(nic.next_deadline()) == []
    assert nic.counters.expired == 1


def test_a_client_that_gave_up_is_not_asked_for_any_more(nic):
    v = answered(nic)
    nic.receive(CLIENT, client.segment(C + 1, v + 1, RST | ACK), 0.1)
    while len(nic.flows):
        assert sent(nic.tick(nic.next_deadline()), SERVER) == []


def test_the_last_hop(nic):
    assert reasons(nic.receive(CLIENT, syn(ttl=1), 0.0)) == ["ttl"]
    assert len(nic.flows) == 0


def test_a_full_table_answers_nobody():
    nic = HoldClientNic(SECRET, Limits(flows=1))
    opened(nic)
    other, _ = ends(port=41000)
    assert reasons(nic.receive(CLIENT, other.segment(1, 0, SYN), 0.0)) == ["table_full"]


def test_a_flood_of_syns_displaces_itself():
    nic = StampClientNic(SECRET, Limits(flows=10))
    for port in range(1000, 1100):
        assert sent(nic.receive(CLIENT, ends(port=port)[0].segment(1, 0, SYN), 0.0), CLIENT)
    assert (len(nic.flows), nic.counters.evicted) == (10, 90)


# -- hold


def test_early_segments_wait_for_the_server_and_leave_in_order(hold):
    v = answered(hold)
    early = [
        client.segment(C + 1, v + 1, ACK, options=stamps(1, v)),
        client.segment(C + 1, v + 1, ACK, options=stamps(1, v), payload=b"hello "),
        client.segment(C + 7, v + 1, ACK | FIN, options=stamps(1, v), payload=b"world"),
    ]
    assert [sent(hold.receive(CLIENT, segment, 0.0)) for segment in early] == [[], [], []]
    assert hold.pool.octets > 0
    actions = hold.receive(SERVER, synack(), 0.1)
    assert {action.side for action in actions} == {SERVER}
    released = sent(actions)
    assert [segment.payload_length for segment in released] == [0, 6, 5]
    assert {segment.ack for segment in released} == {(R + 1) & MASK}
    assert all(stamps(1, 5000) in raw(segment) for segment in released)
    assert hold.pool.octets == 0


def test_the_server_s_words_reach_the_client_in_the_promised_numbers(hold):
    v = opened(hold)
    reply = server.segment(R + 1, C + 1, ACK, window=100, options=stamps(5003, 1), payload=b"reply")
    (segment,) = sent(hold.receive(SERVER, reply, 0.2), CLIENT)
    assert (segment.seq, segment.ack, segment.window) == ((v + 1) & MASK, (C + 1) & MASK, 800)
    assert stamps(v + 3, 1) in raw(segment)
    lost = client.segment(C + 1, v + 1, ACK, options=stamps(2, v + 3) + sack(v + 6, v + 9))
    (segment,) = sent(hold.receive(CLIENT, lost, 0.3), SERVER)
    assert (segment.ack, raw(segment)[40:]) == ((R + 1) & MASK, stamps(2, 5003) + sack(R + 6, R + 9))


def test_a_repeated_synack_changes_nothing_and_has_the_client_acknowledge_again(hold):
    v = opened(hold)
    other = synack(options=linux_synack_options(tsval=9999))
    actions = hold.receive(SERVER, other, 1.0)
    (probe,) = sent(actions)
    assert (actions[0].side, probe.seq, probe.ack, probe.flags) == (CLIENT, v, (C + 1) & MASK, ACK)
    (segment,) = sent(hold.receive(SERVER, server.segment(R + 1, C + 1, ACK, options=stamps(5001, 1)), 1.1))
    assert segment.seq == (v + 1) & MASK
    assert stamps(v + 1, 1) in raw(segment)
    elsewhere = server.segment(R + 77, C + 1, SYN | ACK)
    assert reasons(hold.receive(SERVER, elsewhere, 1.2)) == ["conflicting_synack"]


def test_the_server_s_data_before_its_synack_is_held_too(hold):
    v = answered(hold)
    assert sent(hold.receive(SERVER, server.segment(R + 1, C + 1, ACK, payload=b"banner"), 0.1)) == []
    (segment,) = sent(hold.receive(SERVER, synack(), 0.2), CLIENT)
    assert (segment.seq, segment.payload_length) == ((v + 1) & MASK, 6)


def test_a_refusal_reaches_the_client_where_it_is_accepted(hold):
    v = answered(hold)
    hold.receive(CLIENT, client.segment(C + 1, v + 1, ACK, payload=b"early"), 0.0)
    (reset,) = sent(hold.receive(SERVER, server.segment(0, C + 1, RST | ACK), 0.1), CLIENT)
    assert (reset.seq, reset.ack, reset.flags) == ((v + 1) & MASK, (C + 1) & MASK, RST | ACK)
    assert hold.pool.octets == 0
    assert reasons(hold.receive(CLIENT, client.segment(C + 6, v + 1, ACK, payload=b"more"), 0.1)) == ["refused"]
    assert hold.tick(hold.next_deadline()) == []
    while len(hold.flows):
        assert hold.tick(hold.next_deadline()) == []
    assert hold.counters.refused == 1


def test_a_reset_for_something_else_is_not_believed(hold):
    answered(hold)
    assert reasons(hold.receive(SERVER, server.segment(0, C + 9, RST | ACK), 0.1)) == ["unacceptable_rst"]
    assert reasons(hold.receive(SERVER, server.segment(0, 0, RST), 0.1)) == ["unacceptable_rst"]


def test_an_older_connection_over_there_is_reset_and_the_syn_comes_again(hold):
    answered(hold)
    actions = hold.receive(SERVER, server.segment(555, 444, ACK), 0.1)
    (reset,) = sent(actions, SERVER)
    hold.receive(CLIENT, client.segment(C + 1, 1, ACK), 0.1)
    assert (reset.seq, reset.flags, reset.key) == (444, RST, syn().key)
    assert len(sent(hold.tick(1.0), SERVER)) == 1


def test_early_data_is_bounded(hold):
    v = answered(hold)
    for number in range(1000):
        hold.receive(CLIENT, client.segment(C + 1 + 1000 * number, v + 1, ACK, payload=bytes(1000)), 0.0)
    assert hold.pool.octets <= hold.limits.hold_per_flow
    assert hold.counters.dropped["hold_full"] > 0
    assert hold.counters.held + hold.counters.dropped["hold_full"] == 1000
    # The promised window fits, in segments of an ordinary size.
    assert hold.counters.held * 1000 >= SPOOFED_WINDOW


def test_strangers_are_dropped(hold):
    assert reasons(hold.receive(CLIENT, client.segment(1, 2, ACK), 0.0)) == ["unknown_flow"]
    assert reasons(hold.receive(SERVER, server.segment(1, 2, ACK), 0.0)) == ["unknown_flow"]
    assert reasons(hold.receive(CLIENT, client.segment(1, 2, SYN | ACK), 0.0)) == ["unexpected_synack"]


@pytest.mark.parametrize("first", [CLIENT, SERVER])
def test_after_both_fins_the_flow_is_gone_within_5_seconds(hold, first):
    v = opened(hold)
    from_client = client.segment(C + 1, v + 1, ACK | FIN)
    from_server = server.segment(R + 1, C + 1, ACK | FIN)
    if first == CLIENT:
        steps = [
            (CLIENT, from_client),
            (SERVER, server.segment(R + 1, C + 2, ACK | FIN)),
            (CLIENT, client.segment(C + 2, v + 2, ACK)),
        ]
    else:
        steps = [
            (SERVER, from_server),
            (CLIENT, client.segment(C + 1, v + 2, ACK | FIN)),
            (SERVER, server.segment(R + 2, C + 2, ACK)),
        ]
    for at, (side, segment) in enumerate(steps):
        assert len(sent(hold.receive(side, segment, 10.0 + at))) == 1
    # A repeated FIN still crosses, and is answered.
    assert len(sent(hold.receive(SERVER, server.segment(R + 1, C + 2, ACK | FIN), 13.0))) == 1
    while len(hold.flows):
        last = hold.next_deadline()
        hold.tick(last)
    assert last <= 13.0 + 5.0


def test_half_closed_is_not_over(hold):
    v = opened(hold)
    hold.receive(CLIENT, client.segment(C + 1, v + 1, ACK | FIN), 1.0)
    hold.receive(SERVER, server.segment(R + 1, C + 2, ACK), 1.0)
    for now in (60.0, 600.0):
        hold.tick(now)
    assert len(sent(hold.receive(SERVER, server.segment(R + 1, C + 2, ACK, payload=b"late"), 700.0), CLIENT)) == 1


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_reset_is_translated_and_ends_the_flow(hold, side):
    v = opened(hold)
    if side == CLIENT:
        (segment,) = sent(hold.receive(CLIENT, client.segment(C + 1, v + 1, RST | ACK), 1.0), SERVER)
        assert (segment.seq, segment.ack) == ((C + 1) & MASK, (R + 1) & MASK)
    else:
        (segment,) = sent(hold.receive(SERVER, server.segment(R + 1, 0, RST), 1.0), CLIENT)
        assert (segment.seq, segment.ack) == ((v + 1) & MASK, 0)
    while len(hold.flows):
        last = hold.next_deadline()
        hold.tick(last)
    assert last == 3.0


def test_silence_ends_a_flow(hold):
    opened(hold)
    while len(hold.flows):
        last = hold.next_deadline()
        hold.tick(last)
    assert last == hold.limits.idle
    assert hold.counters.expired == 1


# -- stamp


def test_all_but_the_syn_passes_as_it_is(stamp):
    v = answered(stamp)
    for side, segment in (
        (CLIENT, client.segment(C + 1, v + 1, ACK, options=stamps(1, v), payload=b"early")),
        (SERVER, server.segment(v + 1, C + 6, ACK, options=stamps(v, 1), payload=b"reply")),
        (CLIENT, client.segment(C + 6, v + 6, ACK | FIN)),
    ):
        before = (segment.seq, segment.ack, segment.window, raw(segment)[20:])
        (segment,) = sent(stamp.receive(side, segment, 0.1), 1 - side)
        assert (segment.seq, segment.ack, segment.window, raw(segment)[20:]) == before
        assert segment.ttl == 63
    assert (len(sent(stamp.receive(CLIENT, client.segment(5, 6, ACK), 0.1))), stamp.counters.dropped) == (1, {})


def test_once_both_ends_are_heard_the_syn_is_left_alone_and_forgotten(stamp):
    v = answered(stamp)
    stamp.receive(CLIENT, client.segment(C + 1, v + 1, ACK), 0.0)
    stamp.receive(SERVER, server.segment(v + 1, C + 1, ACK), 0.1)
    assert stamp.tick(1.0) == []
    assert stamp.tick(2.1) == []
    assert len(stamp.flows) == 0


def test_the_server_s_side_alone_stops_the_syn_but_the_answer_is_remembered(stamp):
    v = answered(stamp)
    stamp.receive(SERVER, server.segment(v + 1, C + 1, ACK), 0.1)
    for now in (1.0, 3.0, 7.0):
        assert stamp.tick(now) == []
    (answer,) = sent(stamp.receive(CLIENT, syn(), 7.0))
    assert answer.seq == v


def test_nobody_translates_behind_us(stamp):
    answered(stamp)
    assert reasons(stamp.receive(SERVER, synack(), 0.1)) == ["untranslated_synack"]
