"""`stamp` as a whole: what one box sends, the other one understands."""

from __future__ import annotations

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import StampClientNic
from hopscope_nic.core.server_nic import ServerNic
from support.nic import ACK, FIN, SECRET, SYN, ends, linux_syn_options, linux_synack_options, load, raw, sent, stamps

client, server = ends()
C, R = 1000, 2**32 - 2


class Boxes:
    """ClientNIC and ServerNIC with a wire between them that loses what it is told to."""

    def __init__(self) -> None:
        self.clientnic = StampClientNic(SECRET)
        self.servernic = ServerNic()
        self.now = 0.0
        self.losing = False

    def from_client(self, segment):
        """(what the client gets, what the server gets)."""
        return self._spread(CLIENT, self.clientnic.receive(CLIENT, segment, self.now))

    def from_server(self, segment):
        return self._spread(SERVER, self.servernic.receive(SERVER, segment, self.now))

    def at(self, now):
        self.now = now
        to_client, to_server = self._spread(CLIENT, self.clientnic.tick(now))
        more_to_client, more_to_server = self._spread(SERVER, self.servernic.tick(now))
        return to_client + more_to_client, to_server + more_to_server

    def _spread(self, box, actions):
        to_client, to_server = [], []
        for segment in sent(actions, CLIENT):
            if box == CLIENT:
                to_client.append(segment)
            elif not self.losing:
                for found, into in zip(self._over_the_wan(CLIENT, segment), (to_client, to_server), strict=True):
                    into += found
        for segment in sent(actions, SERVER):
            if box == SERVER:
                to_server.append(segment)
            elif not self.losing:
                for found, into in zip(self._over_the_wan(SERVER, segment), (to_client, to_server), strict=True):
                    into += found
        return to_client, to_server

    def _over_the_wan(self, towards, segment):
        segment = load(raw(segment))
        if towards == SERVER:
            return self._spread(SERVER, self.servernic.receive(CLIENT, segment, self.now))
        return self._spread(CLIENT, self.clientnic.receive(SERVER, segment, self.now))


def syn():
    return client.segment(C, 0, SYN, options=linux_syn_options())


def synack():
    return server.segment(R, C + 1, SYN | ACK, options=linux_synack_options())


def test_a_connection_from_syn_to_the_last_ack():
    boxes = Boxes()
    (answer,), (real_syn,) = boxes.from_client(syn())
    assert (answer.flags, real_syn.ack) == (SYN | ACK, 0)
    v = answer.seq
    assert boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(1, v), payload=b"early")) == ([], [])
    to_client, (early,) = boxes.from_server(synack())
    assert to_client == []
    assert (early.ack, early.payload_length) == ((R + 1) % 2**32, 5)
    (reply,), _ = boxes.from_server(server.segment(R + 1, C + 6, ACK | FIN, options=stamps(5001, 1), payload=b"bye"))
    assert (reply.seq, raw(reply)[-3:]) == ((v + 1) % 2**32, b"bye")
    _, (last,) = boxes.from_client(client.segment(C + 6, v + 5, ACK | FIN, options=stamps(2, v + 1)))
    assert last.ack == (R + 5) % 2**32
    boxes.from_server(server.segment(R + 5, C + 7, ACK, options=stamps(5002, 2)))
    assert boxes.at(3.0) == ([], [])
    assert (len(boxes.clientnic.flows), len(boxes.servernic.flows)) == (0, 0)


def test_a_silent_connection_stops_the_syn_after_one_repetition():
    boxes = Boxes()
    (answer,), _ = boxes.from_client(syn())
    v = answer.seq
    boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(1, v)))
    assert len(boxes.from_server(synack())[1]) == 1
    (heard,), to_server = boxes.at(1.0)
    assert (heard.seq, heard.ack, heard.flags, to_server) == ((v + 1) % 2**32, C + 1, ACK, [])
    assert boxes.at(3.1) == ([], [])
    assert boxes.clientnic.counters.syn_retransmitted == 1


def test_a_syn_that_is_lost_on_the_wan_comes_again_with_its_stamp():
    boxes = Boxes()
    boxes.losing = True
    (answer,), to_server = boxes.from_client(syn())
    assert to_server == []
    v = answer.seq
    boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(1, v)))
    boxes.losing = False
    _, (real_syn,) = boxes.at(1.0)
    assert (real_syn.flags, real_syn.ack) == (SYN, 0)
    assert boxes.from_server(synack()) == ([], [])
    _, (data,) = boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(9, v), payload=b"again"))
    assert data.ack == (R + 1) % 2**32


def test_an_ack_that_is_lost_on_the_wan_is_asked_for():
    boxes = Boxes()
    (answer,), _ = boxes.from_client(syn())
    v = answer.seq
    boxes.losing = True
    boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(1, v)))
    boxes.losing = False
    assert boxes.from_server(synack()) == ([], [])
    boxes.now = 0.9
    (probe,), _ = boxes.from_server(synack())
    assert (probe.seq, probe.flags) == (v, ACK)
    _, (ack,) = boxes.from_client(client.segment(C + 1, v + 1, ACK, options=stamps(2, v)))
    assert ack.ack == (R + 1) % 2**32
