from __future__ import annotations

import pytest

from hopscope_nic.core.flow import Flow
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.translation import PLAIN, Translation
from hopscope_nic.io.kernel_flows import VALUE, KernelFlows

KEY = bytes(range(12))
STATE, DELTA, TS_DELTA, TO_CLIENT, TO_SERVER, ISN, CLIENT_ISN, ANSWERED, SEEN = range(9)


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


def test_what_is_taken_becomes_true_when_it_is_applied(kernel):
    flows = KernelFlows(kernel, answers=False)
    flows.take(flow(Translation(5, 6, -1, 2)))
    assert kernel.held == {}
    flows.apply()
    assert kernel[KEY] == (0, 5, 6, -1, 2, 0, 0, 0, 0)


def test_what_is_taken_back_in_the_same_breath_is_never_there(kernel):
    flows, one = KernelFlows(kernel, answers=False), flow()
    flows.take(one)
    flows.take_back(one)
    flows.apply()
    assert kernel.held == {}


@pytest.mark.parametrize("answers", [True, False])
def test_a_box_that_answers_keeps_a_flow_until_it_is_forgotten(kernel, answers):
    flows, one = KernelFlows(kernel, answers=answers), flow()
    flows.begin(one)
    assert bool(kernel.held) is answers, "so that a repeated SYN is not answered anew"
    flows.take(one)
    flows.apply()
    flows.take_back(one)
    assert [value[STATE] for value in map(VALUE.unpack, kernel.held.values())] == ([2] if answers else [])
    flows.forget(one)
    assert kernel.held == {}


def test_another_flow_of_the_same_ports_is_left_alone(kernel):
    flows, old, new = KernelFlows(kernel, answers=False), flow(), flow()
    flows.take(old)
    flows.take(new)
    flows.apply()
    flows.take_back(old)
    flows.forget(old)
    assert list(kernel.held) == [KEY]


def test_an_answered_syn_is_known_by_both_its_numbers_and_once(kernel):
    flows = KernelFlows(kernel, answers=True)
    assert flows.answered(KEY, 7) is None
    kernel.held[KEY] = VALUE.pack(1, 0, 0, 0, 0, 9, 7, 1, 0)
    assert flows.answered(KEY, 8) is None
    assert flows.answered(KEY, 7) == 9
    flows.begin(flow())
    assert kernel[KEY][ISN] == 9, "what the kernel has begun is not overwritten"
    assert flows.answered(KEY, 7) is None


def test_seen_is_in_seconds_and_only_of_what_was_carried(kernel):
    flows, one = KernelFlows(kernel, answers=False), flow()
    assert flows.seen(one) is None
    flows.take(one)
    flows.apply()
    assert flows.seen(one) is None
    kernel.held[KEY] = VALUE.pack(0, 0, 0, 0, 0, 0, 0, 0, 1_500_000_000)
    assert flows.seen(one) == 1.5


def test_what_nobody_knows_is_swept_when_it_is_old(kernel):
    flows = KernelFlows(kernel, answers=True)
    flows.begin(flow())
    lost, young = bytes(12), bytes(11) + b"1"
    kernel.held[lost] = VALUE.pack(1, 0, 0, 0, 0, 9, 7, 1, 10_000_000_000)
    kernel.held[young] = VALUE.pack(1, 0, 0, 0, 0, 9, 7, 1, 19_000_000_000)
    assert flows.sweep(20.0) == 1
    assert set(kernel.held) == {KEY, young}
