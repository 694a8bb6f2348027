from __future__ import annotations

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import HEADROOM, reverse
from hopscope_nic.core.translation import PLAIN, Translation
from hopscope_nic.io.kernel_entry import AWAITED, BEGUN, GREETED, HURRIED, LEFT, OPEN, OWN, Entry
from hopscope_nic.io.kernel_flows import KernelFlows

KEY = bytes(range(12))


class FakeMap:
    def __init__(self):
        self.held = {}

    def get(self, key):
        return self.held.get(key)

    def put(self, key, value):
        self.held[key] = value
        return True

    def remove(self, key):
        self.held.pop(key, None)

    def __getitem__(self, key):
        return Entry.read(self.held[key])


@pytest.fixture
def kernel():
    return FakeMap()


def flow(steady=PLAIN):
    made = Flow(KEY, 7, 9, SynOptions(None, None, False, None, False), 0.0)
    made.steady = steady
    return made


def deal_with(flows, side, mark=b"frame number 1"[:12]):
    """As the datapath does, with a frame that bears these twelve octets as its mark."""
    frame = bytearray(80)
    frame[HEADROOM + 12 : HEADROOM + 24] = reverse(KEY) if side else KEY
    frame[HEADROOM + 2 : HEADROOM + 6] = mark[:4]
    frame[HEADROOM + 24 : HEADROOM + 32] = mark[4:]
    flows.settle()
    flows.note(side, frame)
    return mark


def taken(kernel, flows, one):
    flows.begin(one)
    deal_with(flows, CLIENT)
    flows.take(one)
    flows.settle()


def test_what_is_taken_becomes_true_when_the_segment_has_been_dealt_with(kernel):
    flows, one = KernelFlows(kernel), flow(Translation(5, 6, -1, 2))
    flows.begin(one)
    mark = deal_with(flows, CLIENT)
    flows.take(one)
    assert kernel[KEY].state == BEGUN
    flows.settle()
    assert kernel[KEY] == Entry(OPEN, 5, 6, -1, 2, dealt_client=mark, told=1)


def test_the_kernel_hears_which_segment_of_either_side_was_dealt_with_last(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    deal_with(flows, CLIENT, b"SYN 12345678")
    synack = deal_with(flows, SERVER, b"SYN-ACK 4567")
    flows.take(one)
    flows.settle()
    assert (kernel[KEY].dealt_client, kernel[KEY].dealt_server) == (b"SYN 12345678", synack)
    kernel.held[KEY] = kernel[KEY]._replace(from_client=66, from_server=77).pack()
    late = deal_with(flows, CLIENT, b"was queued 1")
    assert kernel[KEY].dealt_client != late, "it is in our hands still"
    flows.settle()
    assert (kernel[KEY].dealt_client, kernel[KEY].dealt_server) == (late, synack)
    assert (kernel[KEY].from_client, kernel[KEY].from_server) == (66, 77), "what the kernel has seen is not forgotten"


def test_a_flow_that_never_waits_for_us_is_let_go_at_last(kernel):
    flows, one = KernelFlows(kernel), flow()
    taken(kernel, flows, one)
    states = []
    for number in range(300):
        deal_with(flows, CLIENT, number.to_bytes(12, "big"))
        states.append(kernel[KEY].state)
    assert (states[0], states[-1]) == (OPEN, HURRIED)
    assert states.count(OPEN) > 200


def test_frames_of_strangers_are_of_no_account(kernel):
    flows = KernelFlows(kernel)
    deal_with(flows, SERVER)
    flows.settle()
    flows.settle()
    assert kernel.held == {}


def test_what_is_taken_back_in_the_same_breath_is_never_open(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    deal_with(flows, CLIENT)
    flows.take(one)
    flows.take_back(one)
    flows.settle()
    assert kernel[KEY].state == LEFT


def test_the_kernel_keeps_a_flow_until_it_is_forgotten(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    assert kernel.held, "so that a repeated SYN is not answered anew"
    deal_with(flows, CLIENT)
    flows.take(one)
    flows.settle()
    flows.take_back(one)
    assert kernel[KEY].state == LEFT
    flows.forget(one)
    assert kernel.held == {}


def test_another_flow_of_the_same_ports_is_left_alone(kernel):
    flows, old, new = KernelFlows(kernel), flow(), flow()
    flows.begin(old)
    taken(kernel, flows, new)
    flows.take(old)
    flows.take_back(old)
    flows.forget(old)
    assert list(kernel.held) == [KEY]


def test_crossed_is_in_seconds_and_only_of_what_was_carried(kernel):
    flows, one = KernelFlows(kernel), flow()
    assert flows.crossed(one) == (None, None)
    taken(kernel, flows, one)
    assert flows.crossed(one) == (None, None)
    kernel.held[KEY] = Entry(OPEN, from_server=1_500_000_000).pack()
    assert flows.crossed(one) == (None, 1.5)


def test_a_flow_of_the_kernels_is_adopted_once_it_has_let_go(kernel):
    flows = KernelFlows(kernel)
    assert flows.adopt(KEY, 3.0) is None
    for state in (GREETED, AWAITED, OWN, LEFT):
        kernel.held[KEY] = Entry(state, isn=9, client_isn=7).pack()
        assert flows.adopt(KEY, 3.0) is None
    kernel.held[KEY] = Entry(BEGUN, isn=9, client_isn=7).pack()
    found = flows.adopt(KEY, 3.0)
    assert (found.flow.spoofed_isn, found.flow.client_isn, found.flow.translation) == (9, 7, None)
    flows.begin(found.flow)
    assert kernel[KEY].isn == 9, "what the kernel knows of it is not overwritten"
    assert flows.adopt(KEY, 3.0) is None, "it is known"
