from __future__ import annotations

import struct

import pytest

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import HEADROOM, reverse
from hopscope_nic.core.translation import PLAIN, Translation
from hopscope_nic.io.kernel_flows import VALUE, KernelFlows

KEY = bytes(range(12))
STATE, ISN, FROM_CLIENT, FROM_SERVER, SEEN = 0, 5, 9, 10, slice(12, 14)
OPEN, BEGUN, LEFT, HURRIED = range(4)
NOTHING = bytes(12)


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

    def keys(self, size):
        assert size == len(KEY)
        return list(self.held)

    def __getitem__(self, key):
        return VALUE.unpack(self.held[key])


@pytest.fixture
def kernel():
    return FakeMap()


def flow(steady=PLAIN):
    made = Flow(KEY, 7, 9, SynOptions(None, None, False, None, False), 0.0)
    made.steady = steady
    return made


def value(state, isn=0, client_isn=0, begun=0, seen=(0, 0)):
    return VALUE.pack(state, 0, 0, 0, 0, isn, client_isn, 1, 7, NOTHING, NOTHING, begun, *seen)


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
    assert kernel[KEY][STATE] == BEGUN
    flows.settle()
    assert kernel[KEY] == (OPEN, 5, 6, -1, 2, 0, 0, 0, 0, mark, NOTHING, 0, 0, 0)


def test_the_kernel_hears_which_segment_of_either_side_was_dealt_with_last(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    deal_with(flows, CLIENT, b"SYN 12345678")
    synack = deal_with(flows, SERVER, b"SYN-ACK 4567")
    flows.take(one)
    flows.settle()
    assert kernel[KEY][FROM_CLIENT : FROM_SERVER + 1] == (b"SYN 12345678", synack)
    kernel.held[KEY] = kernel.held[KEY][:-16] + struct.pack("=QQ", 66, 77)
    late = deal_with(flows, CLIENT, b"was queued 1")
    assert kernel[KEY][FROM_CLIENT] != late, "it is in our hands still"
    flows.settle()
    assert kernel[KEY][FROM_CLIENT : FROM_SERVER + 1] == (late, synack)
    assert kernel[KEY][SEEN] == (66, 77), "what the kernel has seen is not forgotten"


def test_a_flow_that_never_waits_for_us_is_let_go_at_last(kernel):
    flows, one = KernelFlows(kernel), flow()
    taken(kernel, flows, one)
    states = []
    for number in range(300):
        deal_with(flows, CLIENT, number.to_bytes(12, "big"))
        states.append(kernel[KEY][STATE])
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
    assert kernel[KEY][STATE] == LEFT


def test_the_kernel_keeps_a_flow_until_it_is_forgotten(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    assert kernel.held, "so that a repeated SYN is not answered anew"
    deal_with(flows, CLIENT)
    flows.take(one)
    flows.settle()
    flows.take_back(one)
    assert kernel[KEY][STATE] == LEFT
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


def test_a_greeted_syn_is_known_by_both_its_numbers_and_once(kernel):
    flows = KernelFlows(kernel)
    assert flows.greeted(KEY, 7) is None
    kernel.held[KEY] = value(BEGUN, 9, 7)
    assert flows.greeted(KEY, 8) is None
    assert flows.greeted(KEY, 7) == 9
    flows.begin(flow())
    assert kernel[KEY][ISN] == 9, "what the kernel has begun is not overwritten"
    assert flows.greeted(KEY, 7) is None


def test_crossed_is_in_seconds_and_only_of_what_was_carried(kernel):
    flows, one = KernelFlows(kernel), flow()
    assert flows.crossed(one) == (None, None)
    taken(kernel, flows, one)
    assert flows.crossed(one) == (None, None)
    kernel.held[KEY] = value(OPEN, seen=(0, 1_500_000_000))
    assert flows.crossed(one) == (None, 1.5)


def opened(begun):
    return VALUE.pack(OPEN, 5, 6, -1, 0, 9, 7, 1, 8, NOTHING, NOTHING, int(begun * 1e9), 0, 0)


def test_flows_that_nobody_knows_are_found_when_they_are_old(kernel):
    flows = KernelFlows(kernel)
    flows.begin(flow())
    lost, young, half = (bytes((number,)) * 12 for number in range(1, 4))
    kernel.held.update({lost: opened(10.0), young: opened(19.5), half: value(BEGUN, 9, 7, begun=10_000_000_000)})
    (found,) = flows.strangers(20.0)
    assert set(kernel.held) == {KEY, lost, young}, "one that will never open is taken away"
    assert (found.key, found.spoofed_isn, found.client_isn, found.offered.window_scale) == (lost, 9, 7, 8)
    assert (found.translation.delta, found.translation.ts_delta, found.translation.to_client_shift) == (5, 6, -1)
    flows.begin(found)
    assert [each.key for each in flows.strangers(30.0)] == [young]
    assert kernel[lost][STATE] == OPEN, "it goes on as it was"


def test_what_the_kernel_has_learnt_of_an_old_flow_can_be_asked(kernel):
    flows, one = KernelFlows(kernel), flow()
    flows.begin(one)
    assert flows.learnt(one, 20.0) is None
    kernel.held[KEY] = opened(19.5)
    assert flows.learnt(one, 20.0) is None
    assert flows.learnt(one, 21.0).delta == 5
