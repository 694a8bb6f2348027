from __future__ import annotations

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.server_nic import ServerNic
from support.nic import (
    ACK,
    FIN,
    MASK,
    RST,
    SYN,
    ends,
    linux_syn_options,
    linux_synack_options,
    raw,
    reasons,
    sent,
    stamps,
)

client, server = ends()
C, V, R = 1000, MASK, 70


@pytest.fixture
def nic():
    return ServerNic()


def syn(stamp=V, isn=C, **fields):
    return client.segment(isn, stamp, SYN, options=linux_syn_options(), **fields)


def synack(**fields):
    return server.segment(R, C + 1, SYN | ACK, options=linux_synack_options(), **fields)


def early(payload=b"", seq=C + 1, flags=ACK):
    return client.segment(seq, V + 1, flags, options=stamps(1, V), payload=payload)


def opened(nic):
    nic.receive(CLIENT, syn(), 0.0)
    nic.receive(CLIENT, early(), 0.0)
    nic.receive(SERVER, synack(), 0.0)


def test_the_stamp_is_read_and_zeroed(nic):
    actions = nic.receive(CLIENT, syn(), 0.0)
    (forwarded,) = sent(actions, SERVER)
    assert (len(actions), forwarded.seq, forwarded.ack, forwarded.flags, forwarded.ttl) == (1, C, 0, SYN, 63)
    assert raw(forwarded)[40:] == linux_syn_options()


def test_the_server_s_handshake_waits_for_the_client_s_own_ack(nic):
    nic.receive(CLIENT, syn(), 0.0)
    assert sent(nic.receive(SERVER, synack(), 0.1)) == []
    (ack,) = sent(nic.receive(CLIENT, early(), 0.2), SERVER)
    assert (ack.seq, ack.ack, raw(ack)[40:]) == (C + 1, R + 1, stamps(1, 5000))


def test_early_data_leaves_behind_the_real_synack_which_goes_no_further(nic):
    nic.receive(CLIENT, syn(), 0.0)
    for segment in (early(), early(b"hello"), early(b"world", C + 6, ACK | FIN)):
        assert sent(nic.receive(CLIENT, segment, 0.0)) == []
    actions = nic.receive(SERVER, synack(), 0.1)
    assert {action.side for action in actions} == {SERVER}
    assert [(s.seq, s.ack, s.payload_length) for s in sent(actions)] == [
        (C + 1, R + 1, 0),
        (C + 1, R + 1, 5),
        (C + 6, R + 1, 5),
    ]
    (reply,) = sent(nic.receive(SERVER, server.segment(R + 1, C + 12, ACK, options=stamps(5001, 1)), 0.2), CLIENT)
    assert (reply.seq, reply.ack, raw(reply)[40:]) == ((V + 1) & MASK, C + 12, stamps(V + 1, 1))


def test_a_repeated_syn_is_forwarded_while_the_server_is_silent(nic):
    nic.receive(CLIENT, syn(), 0.0)
    (again,) = sent(nic.receive(CLIENT, syn(), 1.0), SERVER)
    assert (again.ack, len(nic.flows)) == (0, 1)


def test_a_repeated_syn_of_an_answered_flow_gets_an_ack_in_its_numbers(nic):
    opened(nic)
    (ack,) = sent(nic.receive(CLIENT, syn(stamp=V - 5), 1.0), CLIENT)
    assert (ack.seq, ack.ack, ack.flags, ack.key) == ((V + 1) & MASK, C + 1, ACK, synack().key)
    (segment,) = sent(nic.receive(CLIENT, early(b"x"), 1.1), SERVER)
    assert segment.ack == R + 1


def test_a_new_isn_is_a_new_flow_with_a_new_stamp(nic):
    opened(nic)
    (again,) = sent(nic.receive(CLIENT, syn(stamp=500, isn=C + 9), 5.0), SERVER)
    assert again.ack == 0
    nic.receive(SERVER, server.segment(R + 5, C + 10, SYN | ACK), 5.1)
    (ack,) = sent(nic.receive(CLIENT, client.segment(C + 10, 501, ACK), 5.2), SERVER)
    assert ack.ack == R + 6


def test_the_server_that_misses_the_ack_gets_it(nic):
    nic.receive(CLIENT, syn(), 0.0)
    nic.receive(SERVER, synack(), 0.0)
    (probe,) = sent(nic.receive(SERVER, synack(), 1.0), CLIENT)
    assert (probe.seq, probe.ack, probe.flags) == (V, C + 1, ACK)
    (ack,) = sent(nic.receive(CLIENT, early(), 1.1), SERVER)
    assert ack.ack == R + 1


def test_without_a_stamp_all_passes(nic):
    (forwarded,) = sent(nic.receive(CLIENT, syn(stamp=0), 0.0), SERVER)
    assert forwarded.ack == 0
    (real,) = sent(nic.receive(SERVER, synack(), 0.1), CLIENT)
    assert (real.seq, real.flags) == (R, SYN | ACK)
    (ack,) = sent(nic.receive(CLIENT, client.segment(C + 1, R + 1, ACK), 0.2), SERVER)
    assert ack.ack == R + 1
    assert len(sent(nic.receive(CLIENT, syn(stamp=0), 0.3), SERVER)) == 1
    nic.receive(CLIENT, client.segment(C + 1, R + 1, ACK | FIN), 0.4)
    nic.receive(SERVER, server.segment(R + 1, C + 2, ACK | FIN), 0.5)
    nic.receive(CLIENT, client.segment(C + 2, R + 2, ACK), 0.6)
    while len(nic.flows):
        last = nic.next_deadline()
        nic.tick(last)
    assert last == 0.6 + 2.0
    assert nic.counters.expired == 0


def test_a_refusal_in_the_client_s_numbers(nic):
    nic.receive(CLIENT, syn(), 0.0)
    nic.receive(CLIENT, early(b"hello"), 0.0)
    (reset,) = sent(nic.receive(SERVER, server.segment(0, C + 1, RST | ACK), 0.1), CLIENT)
    assert (reset.seq, reset.ack, reset.flags) == ((V + 1) & MASK, C + 1, RST | ACK)
    assert nic.pool.octets == 0
    assert reasons(nic.receive(CLIENT, syn(), 0.2)) == ["refused"]


def test_early_reset_of_the_client_follows_the_syn(nic):
    nic.receive(CLIENT, syn(), 0.0)
    nic.receive(CLIENT, early(flags=RST | ACK), 0.0)
    (reset,) = sent(nic.receive(SERVER, synack(), 0.1))
    assert (reset.flags, reset.ack) == (RST | ACK, R + 1)
    assert nic.next_deadline() <= 0.1 + 2.0


def test_data_in_the_syn_may_be_acknowledged(nic):
    nic.receive(CLIENT, syn(payload=b"fast"), 0.0)
    nic.receive(SERVER, server.segment(R, C + 5, SYN | ACK), 0.1)
    assert nic.counters.synack_learnt == 1


def test_segments_whose_syn_was_lost_are_dropped(nic):
    assert reasons(nic.receive(CLIENT, early(b"x"), 0.0)) == ["unknown_flow"]
    assert reasons(nic.receive(SERVER, server.segment(1, 2, RST), 0.0)) == ["unknown_flow"]


def test_a_server_that_never_answers_is_forgotten():
    nic = ServerNic(Limits(waiting=10.0))
    nic.receive(CLIENT, syn(), 0.0)
    nic.receive(CLIENT, early(b"x"), 1.0)
    while len(nic.flows):
        last = nic.next_deadline()
        nic.tick(last)
    assert (last, nic.pool.octets) == (11.0, 0)


def test_a_flood_that_the_server_answers_displaces_itself_and_no_open_flow():
    nic = ServerNic(Limits(flows=10))
    opened(nic)
    for port in range(1000, 1100):
        forged, answering = ends(port=port)
        assert sent(nic.receive(CLIENT, forged.segment(1, 77, SYN), 1.0), SERVER)
        nic.receive(SERVER, answering.segment(R, 2, SYN | ACK), 1.0)
    assert (len(nic.flows), nic.counters.evicted) == (10, 91)
    assert sent(nic.receive(CLIENT, early(b"still here"), 2.0), SERVER)
    while len(nic.flows) > 1:
        last = nic.next_deadline()
        nic.tick(last)
    assert last <= 1.0 + nic.limits.waiting


def test_a_repeated_syn_is_not_answered_for_a_server_that_has_spoken(nic):
    opened(nic)
    (ack,) = sent(nic.receive(CLIENT, syn(), 0.1), CLIENT)
    assert ack.flags == ACK, "nobody has told the box that asks that there is a server"
    nic.receive(SERVER, server.segment(R + 1, C + 1, ACK, options=stamps(5001, 1)), 0.2)
    actions = nic.receive(CLIENT, syn(), 0.3)
    assert (sent(actions), reasons(actions)) == ([], ["repeated_syn"]), "its time stamps would go back"
