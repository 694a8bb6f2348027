"""What a machine tells whoever crosses ordinary segments for it, and what it then leaves to them."""

from __future__ import annotations

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.flow import OPEN, WAITING, Flow
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translation import Translation
from support.nic import (
    ACK,
    FIN,
    RST,
    SECRET,
    SYN,
    ends,
    linux_syn_options,
    linux_synack_options,
    sent,
)

client, server = ends()
C, V, R = 1000, 5_000_000, 70


class Kernel:
    """Notes what it is told, in order."""

    def __init__(self, greeted=None):
        self.told = []
        self.isn = greeted
        self.last = None, None
        self.known = None
        self.unknown = []

    def greeted(self, key, client_isn):
        assert client_isn == C
        return self.isn

    def crossed(self, flow):
        return self.last

    def learnt(self, flow, now):
        return self.known

    def strangers(self, now):
        return self.unknown

    def __getattr__(self, name):
        return lambda flow: self.told.append(name)


def syn(ack=0):
    return client.segment(C, ack, SYN, options=linux_syn_options())


def synack():
    return server.segment(R, C + 1, SYN | ACK, options=linux_synack_options())


def machine(kind, **how):
    nic = ServerNic() if kind is ServerNic else kind(SECRET)
    nic.offload = Kernel(**how)
    return nic


def opened(kind):
    nic = machine(kind)
    actions = nic.receive(CLIENT, syn(V if kind is ServerNic else 0), 0.0)
    isn = V if kind is ServerNic else sent(actions, CLIENT)[0].seq
    nic.receive(SERVER, synack(), 0.0)
    nic.receive(CLIENT, client.segment(C + 1, isn + 1, ACK), 0.0)
    return nic, isn


@pytest.mark.parametrize("kind", [HoldClientNic, ServerNic])
def test_an_open_flow_is_theirs_until_its_first_end(kind):
    nic, isn = opened(kind)
    assert nic.offload.told == ["begin", "take"]
    nic.receive(CLIENT, client.segment(C + 1, isn + 1, ACK | FIN), 0.0)
    nic.receive(SERVER, server.segment(R + 1, C + 2, ACK | FIN), 0.0)
    nic.receive(CLIENT, client.segment(C + 2, isn + 2, ACK), 0.0)
    assert nic.offload.told == ["begin", "take", "take_back"]
    nic.tick(100.0)
    assert nic.offload.told[3:] == ["forget"]


@pytest.mark.parametrize("kind", [HoldClientNic, ServerNic])
def test_a_flow_that_goes_on_elsewhere_does_not_expire(kind):
    nic, _ = opened(kind)
    idle = Limits().idle
    nic.offload.last = None, idle - 1
    nic.tick(idle + 1)
    assert len(nic.flows) == 1
    nic.tick(2 * idle)
    assert len(nic.flows) == 0


def test_what_the_server_declines_stays_with_the_machine():
    nic = machine(HoldClientNic)
    isn = sent(nic.receive(CLIENT, syn(), 0.0), CLIENT)[0].seq
    nic.receive(SERVER, server.segment(R, C + 1, SYN | ACK), 0.0)
    nic.receive(CLIENT, client.segment(C + 1, isn + 1, ACK), 0.0)
    assert nic.offload.told == ["begin"]


@pytest.mark.parametrize("kind", [HoldClientNic, StampClientNic])
def test_a_syn_that_was_answered_already_is_only_entered(kind):
    nic = machine(kind, greeted=V)
    assert sent(nic.receive(CLIENT, syn(), 0.0)) == []
    (flow,) = nic.flows
    assert flow.spoofed_isn == V
    assert (nic.counters.syn_answered, nic.counters.syn_forwarded) == (1, 1)
    nic.receive(CLIENT, client.segment(C + 1, V + 1, ACK), 0.1)
    (again,) = sent(nic.tick(1.1), SERVER)
    assert (again.seq, again.ack) == (C, V if kind is StampClientNic else 0), "lost on the way, it is sent again"


def test_a_syn_goes_before_its_answer_where_the_next_segment_does_not_wait():
    nic = machine(StampClientNic)
    assert [action.side for action in nic.receive(CLIENT, syn(), 0.0)] == [SERVER, CLIENT]


def test_a_box_that_passes_sends_nothing_but_syns():
    nic = machine(StampClientNic)
    isn = sent(nic.receive(CLIENT, syn(), 0.0), CLIENT)[0].seq
    assert sent(nic.receive(CLIENT, client.segment(C + 1, isn + 1, ACK), 0.0)) == []
    assert nic.offload.told == ["begin"]
    assert sent(nic.receive(SERVER, server.segment(isn + 1, C + 1, ACK), 0.0)) == []
    assert nic.offload.told == ["begin", "take_back"], "both ends have been heard"
    assert sent(nic.receive(SERVER, server.segment(isn + 1, C + 1, RST), 0.0)) == []
    assert nic.counters.passed == 0


def test_a_repeated_syn_is_not_answered_where_the_kernel_has_carried_the_flow():
    nic, _ = opened(ServerNic)
    (ack,) = sent(nic.receive(CLIENT, syn(V), 0.1), CLIENT)
    assert ack.flags == ACK
    nic.offload.last = None, 0.2
    assert sent(nic.receive(CLIENT, syn(V), 0.3)) == []


def test_server_nic_only_enters_a_syn_that_was_forwarded_already():
    nic = machine(ServerNic, greeted=V)
    assert sent(nic.receive(CLIENT, syn(V), 0.0)) == []
    (flow,) = nic.flows
    assert (flow.spoofed_isn, nic.counters.syn_forwarded) == (V, 1)


def learnt(kind=ServerNic, **limits):
    """A flow of which the client's words have all crossed elsewhere."""
    nic = ServerNic(Limits(**limits)) if kind is ServerNic else kind(SECRET, Limits(**limits))
    nic.offload = Kernel(greeted=V)
    nic.receive(CLIENT, syn(V), 0.0)
    nic.receive(SERVER, synack(), 0.0)
    return nic


@pytest.mark.parametrize("kind", [HoldClientNic, ServerNic])
def test_a_client_that_was_heard_elsewhere_has_been_heard(kind):
    nic = learnt(kind)
    nic.offload.last = 50.0, 60.0
    assert nic.tick(80.0) == []
    (flow,) = nic.flows
    assert (flow.client_heard, flow.server_heard, flow.seen) == (True, True, 60.0)
    nic.tick(Limits().idle)
    assert len(nic.flows) == 1, "it may be idle as long as any other"
    assert nic.offload.told == ["begin", "take"]


def test_one_that_was_not_is_forgotten():
    nic = learnt()
    nic.tick(80.0)
    assert len(nic.flows) == 0


def test_a_flow_that_lives_elsewhere_makes_no_room():
    nic = learnt(flows=1)
    nic.offload.last = 1.0, None
    other, _ = ends(4711)
    nic.receive(CLIENT, other.segment(C, V, SYN, options=linux_syn_options()), 2.0)
    assert (nic.counters.evicted, len(nic.flows)) == (0, 1)
    nic = learnt(flows=1)
    nic.receive(CLIENT, other.segment(C, V, SYN, options=linux_syn_options()), 2.0)
    assert (nic.counters.evicted, len(nic.flows)) == (1, 1)


def test_a_server_that_ends_first_takes_the_flow_back():
    nic = learnt()
    nic.offload.last = 1.0, None
    nic.receive(SERVER, server.segment(R + 1, C + 1, ACK | FIN), 2.0)
    assert nic.offload.told == ["begin", "take", "take_back"]


def test_an_answer_that_was_lost_on_its_way_here_is_made_up_for():
    nic = machine(ServerNic, greeted=V)
    nic.receive(CLIENT, syn(V), 0.0)
    nic.receive(CLIENT, client.segment(C + 1, V + 1, ACK), 0.0)
    assert nic.catch_up(1.0) == []
    (flow,) = nic.flows
    assert flow.state == WAITING
    nic.offload.known = Translation(V - R)
    (released,) = sent(nic.catch_up(2.0), SERVER)
    assert (released.ack, flow.state, flow.steady is not None) == (R + 1, OPEN, True)


def test_a_flow_whose_syn_was_lost_on_its_way_here_is_known_from_then_on():
    nic = machine(ServerNic)
    nic.offload.last = 1.0, 1.5
    lost = Flow(client.segment(C, 0, SYN).key, C, V, SynOptions(None, 7, True, 0, False), 2.0)
    lost.translation = Translation(V - R)
    nic.offload.unknown = [lost]
    assert nic.catch_up(2.0) == []
    assert list(nic.flows) == [lost]
    assert nic.offload.told == ["begin", "take"]
    (end,) = sent(nic.receive(CLIENT, client.segment(C + 1, V + 1, ACK | FIN), 3.0), SERVER)
    assert end.ack == R + 1
