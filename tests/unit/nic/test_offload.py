"""What a machine tells whoever crosses ordinary segments for it, and what it then leaves to them."""

from __future__ import annotations

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.flow import CLIENT_FIN, CLOSING, OPEN, WAITING, Flow
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.offload import Adopted
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

    def __init__(self):
        self.told = []
        self.last = None, None
        self.there = None

    def adopt(self, key, now):
        there, self.there = self.there, None
        assert there is None or there.flow.key == key
        return there

    def crossed(self, flow):
        return self.last

    def __getattr__(self, name):
        return lambda flow: self.told.append(name)


def syn(ack=0):
    return client.segment(C, ack, SYN, options=linux_syn_options())


def synack():
    return server.segment(R, C + 1, SYN | ACK, options=linux_synack_options())


def machine(kind):
    nic = ServerNic() if kind is ServerNic else kind(SECRET)
    nic.offload = Kernel()
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


def learnt(kind=ServerNic, **limits):
    """A flow of which the client's words have all crossed elsewhere."""
    nic = ServerNic(Limits(**limits)) if kind is ServerNic else kind(SECRET, Limits(**limits))
    nic.offload = Kernel()
    nic.receive(CLIENT, syn(V if kind is ServerNic else 0), 0.0)
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


def there(state=WAITING, early=None, over=False, **fields):
    """What a kernel has: the client has been heard, if nobody says otherwise."""
    flow = Flow(client.segment(C, 0, SYN).key, C, V, SynOptions(1460, 7, True, 0, False), 2.0)
    flow.translation = Translation(V - R) if state == OPEN else None
    for name, value in {"client_heard": True, **fields}.items():
        setattr(flow, name, value)
    return Adopted(flow, syn(), early, over, 1.5)


def adopted(kind=ServerNic, **how):
    """A machine that has just adopted the one flow of its kernel."""
    nic = machine(kind)
    found = nic.offload.there = there(**how)
    assert nic.adopt(found.flow.key, 2.0) is found.flow
    assert list(nic.flows) == [found.flow]
    return nic, found.flow


def test_what_nobody_has_is_not_adopted():
    nic = machine(ServerNic)
    assert nic.adopt(bytes(12), 1.0) is None
    assert nic.receive(CLIENT, client.segment(C + 1, V + 1, ACK), 1.0)[0].reason == "unknown_flow"


@pytest.mark.parametrize(
    ("side", "first"),
    [(CLIENT, client.segment(C + 1, V + 1, ACK, payload=b"x")), (SERVER, server.segment(R + 1, C + 1, ACK))],
)
def test_the_first_segment_of_either_side_has_a_flow_adopted(side, first):
    nic = machine(ServerNic)
    nic.offload.there = there(state=OPEN)
    assert len(sent(nic.receive(side, first, 2.0), 1 - side)) == 1
    assert nic.offload.told == ["begin", "take"]


def test_what_the_client_had_said_is_released_with_the_answer():
    nic, _ = adopted(early=client.segment(C + 1, V + 1, ACK))
    nic.receive(CLIENT, client.segment(C + 1, V + 1, ACK, payload=b"request"), 2.0)
    acknowledged, request = sent(nic.receive(SERVER, synack(), 2.1), SERVER)
    assert (acknowledged.ack, acknowledged.payload_length, request.ack) == (R + 1, 0, R + 1)
    assert nic.offload.told == ["begin", "take"]


@pytest.mark.parametrize("kind", [HoldClientNic, StampClientNic])
def test_an_adopted_syn_is_sent_again_when_its_time_comes(kind):
    nic, _ = adopted(kind)
    assert sent(nic.tick(2.4)) == []
    (again,) = sent(nic.tick(2.5), SERVER)
    assert (again.seq, again.ack, again.ttl) == (C, V if kind is StampClientNic else 0, 63), "1 s after it came"


def test_a_repeated_syn_of_an_adopted_flow_gets_the_same_answer():
    nic, _ = adopted(HoldClientNic, client_heard=False)
    (again,) = sent(nic.receive(CLIENT, syn(), 2.1), CLIENT)
    assert (again.seq, again.ack) == (V, C + 1)


def test_one_that_has_begun_to_end_stays_with_the_machine():
    nic, flow = adopted(state=OPEN, ends=CLIENT_FIN)
    assert (nic.offload.told, flow.state) == (["begin", "take_back"], OPEN)
    nic.receive(SERVER, server.segment(R + 1, C + 1, ACK | RST), 3.0)
    assert flow.state == CLOSING


@pytest.mark.parametrize("kind", [ServerNic, StampClientNic])
def test_one_that_is_over_lingers(kind):
    nic, flow = adopted(kind, state=OPEN if kind is ServerNic else WAITING, over=True)
    assert (nic.offload.told, flow.state) == (["begin", "take_back"], CLOSING)
    nic.tick(3.9)
    assert len(nic.flows) == 1
    nic.tick(4.1)
    assert len(nic.flows) == 0


def test_one_for_which_there_is_no_room_is_given_up():
    nic, open_flow = adopted(state=OPEN)
    nic.flows.limit = 1
    other, _ = ends(4711)
    nic.offload.there = Adopted(
        Flow(other.segment(C, 0, SYN).key, C, V, open_flow.offered, 2.0), syn(), None, False, 1.5
    )
    assert nic.adopt(other.segment(C, 0, SYN).key, 2.0) is None
    assert nic.offload.told[-2:] == ["begin", "forget"]
    assert list(nic.flows) == [open_flow]
