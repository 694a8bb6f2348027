from __future__ import annotations

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.limits import Link
from support.nic import ACK, SECRET, SYN, ends, linux_syn_options, linux_synack_options, raw, reasons, sent, word_sum

client, server = ends()
OURS = (bytes((10, 1, 0, 1)), bytes((10, 1, 1, 1)))
LINKS = (Link(600, OURS[CLIENT]), Link(600, OURS[SERVER]))


@pytest.mark.parametrize("kind", [HoldClientNic, StampClientNic])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_the_sender_of_what_does_not_fit_is_told_in_its_own_numbers(kind, side):
    nic = kind(SECRET, links=LINKS)
    v = sent(nic.receive(CLIENT, client.segment(1, 0, SYN, options=linux_syn_options()), 0.0), CLIENT)[0].seq
    if kind is HoldClientNic:
        nic.receive(SERVER, server.segment(99, 2, SYN | ACK, options=linux_synack_options()), 0.0)
    else:
        nic.receive(SERVER, server.segment(v + 1, 2, ACK), 0.0)
    segment = (client, server)[side].segment(100, v + 1, ACK, payload=bytes(561))
    before = raw(segment)
    action, dropped = nic.receive(side, segment, 0.1)
    assert action.side == side
    assert reasons([dropped]) == ["larger_than_mtu"]
    data = bytes(action.packet.buffer[action.packet.head : action.packet.end])
    assert word_sum(data[:20]) == word_sum(data[20:]) == 0xFFFF
    assert data[9] == 1
    assert (data[12:16], data[16:20]) == (OURS[side], before[12:16])
    assert data[20:22] == bytes((3, 4))
    assert data[26:28] == (600).to_bytes(2, "big")
    assert data[28:] == before[:28]


def test_what_will_be_cut_up_fits():
    nic = HoldClientNic(SECRET, links=LINKS)
    nic.receive(CLIENT, client.segment(1, 0, SYN), 0.0)
    nic.receive(SERVER, server.segment(99, 2, SYN | ACK), 0.0)
    segment = client.segment(2, 3, ACK, payload=bytes(5000))
    segment.superframe = True
    assert len(sent(nic.receive(CLIENT, segment, 0.1), SERVER)) == 1
