"""One core, two engines: what the kernel's program does to a segment is what the core does to it, octet for octet.

The programs run on single frames by BPF_PROG_TEST_RUN, in a thread with a network namespace of its own: nothing is
attached, and what they send goes nowhere.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.segment import HEADROOM
from hopscope_nic.core.selection import PortRange
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import bpf
from hopscope_nic.io.kernel_flows import VALUE, KernelFlows
from support.nic import (
    ACK,
    ECE,
    FIN,
    MASK,
    PSH,
    RST,
    SECRET,
    SYN,
    URG,
    ends,
    linux_syn_options,
    linux_synack_options,
    load,
    raw,
    sack,
    sent,
    stamps,
    word_sum,
)

pytestmark = pytest.mark.integration

C, R = 7, 99
MACS = bytes(12)  # loopback's: a frame for this station
TO_ROUTER, DROPPED = 0xFFFFFFFF, 2
client, server = ends()


class TestRun(ctypes.Structure):
    """struct bpf_test_run_opts (libbpf, bpf.h)."""

    __test__ = False
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class Kernel:
    """The programs of one box, and the machine that tells them what to carry."""

    def __init__(self, machine) -> None:
        self.machine = machine
        told = bpf.config(machine, [1500, 1500], [PortRange(client.peer_port, client.peer_port)], [], bytes(16))
        self.programs = bpf.Programs([1, 1], 16, told)
        machine.offload = self.flows = KernelFlows(self.programs.flows)
        self.thread = ThreadPoolExecutor(1, initializer=_leave)
        self.library = ctypes.CDLL("libbpf.so.1")
        self.library.bpf_prog_test_run_opts.argtypes = (ctypes.c_int, ctypes.POINTER(TestRun))

    def run(self, side: int, packet: bytes, program: str = "cross") -> tuple[int, bytes]:
        """What becomes of a packet, and the packet behind the program."""
        frame = MACS + b"\x08\x00" + packet
        if program == "filter":
            frame = frame[:14] + frame  # of a socket's filter the kernel takes the first header away
        out = ctypes.create_string_buffer(2048)
        test = TestRun(
            size=ctypes.sizeof(TestRun), data_in=frame, data_size_in=len(frame), repeat=1,
            data_out=ctypes.addressof(out), data_size_out=len(out),
        )  # fmt: skip
        descriptor = self.programs.program(f"{program}_{'server' if side else 'client'}")
        run = self.thread.submit(self.library.bpf_prog_test_run_opts, descriptor, ctypes.byref(test))
        assert run.result(10) == 0
        return test.retval, out.raw[14 : test.data_size_out]

    def is_given(self, side: int, packet: bytes) -> bool:
        """Whether the filter gives it to user space; what tcx does next is no less certain."""
        given = self.run(side, packet, "filter")[0] != 0
        assert given == (self.run(side, packet)[0] == DROPPED)
        return given

    def stop(self) -> None:
        self.thread.shutdown()
        self.programs.stop()


def _leave() -> None:
    assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0, "CLONE_NEWNET"


def opened(machine, agreed: bytes):
    isn = sent(machine.receive(CLIENT, client.segment(C, 0, SYN, options=linux_syn_options()), 0.0), CLIENT)[0].seq
    machine.receive(CLIENT, client.segment(C + 1, isn + 1, ACK), 0.0)
    machine.receive(SERVER, server.segment(R, C + 1, SYN | ACK, options=agreed), 0.0)
    return machine


def begun(isn: int) -> bytes:
    return VALUE.pack(1, 0, 0, 0, 0, isn, C, 0, 7, bytes(12), bytes(12), 1, 0, 0)


def frame(packet: bytes) -> bytearray:
    return bytearray(HEADROOM) + packet


AGREED = (linux_synack_options(scale=10), linux_synack_options(scale=3), linux_synack_options()[:4])


@pytest.fixture(scope="module")
def kernels() -> Iterator[dict[bytes, Kernel]]:
    made = {}
    try:
        for agreed in AGREED:
            made[agreed] = kernel = Kernel(HoldClientNic(SECRET))
            kernel.flows.note(CLIENT, frame(client.packet(C + 1, 1, ACK)))
            opened(kernel.machine, agreed)
            kernel.flows.settle()
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    yield made
    for kernel in made.values():
        kernel.stop()


def routed(packet: bytes) -> bytes:
    """As the kernel's router leaves it."""
    head = packet[:8] + bytes((packet[8] - 1,)) + packet[9:10] + bytes(2) + packet[12:20]
    return head[:10] + struct.pack("!H", 0xFFFF - word_sum(head)) + head[12:] + packet[20:]


OPTIONS = st.sampled_from(
    (
        b"", stamps(MASK - 5, 5), stamps(5, MASK), stamps(1, 2) + sack(3, 4), sack(MASK, 4, 9, 12),
        stamps(1, 2) + sack(3, 4, 5, 6, 7, 8), sack(1, 2, 3, 4, 5, 6, 7, 8), sack(3, 4) + stamps(1, 2),
        b"\1" * 12, b"\x08" * 12, b"\1\1\5\x0a" + bytes(4), b"\1\1\5\x22" + bytes(8), b"\2\4\5\xb4",
    )
)  # fmt: skip
FLAGS = st.sampled_from(
    (*[ACK] * 12, ACK | PSH, ACK | URG, ACK | ECE, PSH, 0, ACK | FIN, RST, RST | ACK, FIN, SYN | ACK, SYN | FIN)
)


@given(
    agreed=st.sampled_from(AGREED),
    side=st.sampled_from((CLIENT, SERVER)),
    seq=st.integers(0, MASK),
    ack=st.integers(0, MASK),
    window=st.integers(0, 65535),
    flags=FLAGS,
    options=OPTIONS,
    payload=st.binary(max_size=5),
    ttl=st.integers(1, 255),
    ip_options=st.sampled_from((*[b""] * 9, b"\1\1\1\0")),
    fragment=st.sampled_from((*[0x4000] * 9, 0, 0x2000, 0x2001)),
    spoilt=st.booleans(),
    extra=st.sampled_from((b"", b"\0\0\0")),
)
@settings(max_examples=800)
def test_what_the_kernel_carries_is_what_the_core_would_send(
    kernels, agreed, side, seq, ack, window, flags, options, payload, ttl, ip_options, fragment, spoilt, extra
):
    packet = (client, server)[side].packet(
        seq, ack, flags, window=window, options=options, payload=payload, ttl=ttl, ip_options=ip_options,
        fragment=fragment,
    )  # fmt: skip
    if spoilt:
        at = (packet[0] & 15) * 4 + 16
        packet = packet[:at] + bytes((packet[at] ^ 0x55,)) + packet[at + 1 :]
    kernel = kernels[agreed]
    outcome, after = kernel.run(side, packet + extra)
    if fragment & 0x1FFF:
        assert outcome == TO_ROUTER, "a later fragment has no ports: nobody can tell whose it is"
        assert after == packet + extra
        return
    if outcome == DROPPED:
        ordinary = flags in (ACK, ACK | PSH) and not options and not ip_options and ttl > 1 and fragment in (0, 0x4000)
        declined = agreed is AGREED[2]
        assert declined or not ordinary, "the kernel leaves to user space what it should carry"
        return
    assert outcome == TO_ROUTER
    assert after.endswith(extra)
    (action,) = opened(HoldClientNic(SECRET), agreed).receive(side, load(packet), 1.0)
    assert routed(after[: len(after) - len(extra)]) == raw(action.packet)


def test_a_flow_that_is_not_open_is_user_spaces(kernels):
    stranger, _ = ends(4711)
    assert kernels[AGREED[0]].run(CLIENT, stranger.packet(1, 2, ACK))[0] == DROPPED


def test_another_port_is_the_routers(kernels):
    packet = client.packet(1, 2, ACK)
    packet = packet[:22] + struct.pack("!H", 9) + packet[24:]
    assert kernels[AGREED[0]].run(CLIENT, packet) == (TO_ROUTER, packet)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_nothing_overtakes_a_segment_that_waits_in_user_space(side):
    try:
        kernel = Kernel(HoldClientNic(SECRET))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    ours, other = (client, server)[:: 1 - 2 * side]
    opened(kernel.machine, AGREED[0])
    syn = client.packet(C, 0, SYN, options=linux_syn_options())
    assert kernel.is_given(CLIENT, syn)
    kernel.flows.note(CLIENT, frame(syn))
    kernel.flows.settle()
    ordinary, next_one = (ours.packet(seq, 30, ACK, options=stamps(seq, 1)) for seq in (20, 22))
    odd = ours.packet(21, 30, ACK, options=b"\1" * 12)
    assert not kernel.is_given(side, ordinary)
    assert kernel.is_given(side, odd), "such options are for user space"
    assert kernel.is_given(side, next_one), "and nothing may overtake them"
    assert not kernel.is_given(1 - side, other.packet(1, 2, ACK)), "the other direction has nothing to wait for"
    kernel.flows.note(side, frame(odd))
    kernel.flows.settle()
    assert kernel.is_given(side, next_one), "the next one had been given as well by then"
    kernel.flows.note(side, frame(next_one))
    assert kernel.is_given(side, next_one), "in our hands, not dealt with"
    kernel.flows.settle()
    assert not kernel.is_given(side, ordinary)
    kernel.stop()


@pytest.mark.parametrize("kind", [HoldClientNic, StampClientNic])
def test_a_syn_that_was_let_in_is_answered_once_and_goes_on(kind):
    try:
        kernel = Kernel(kind(SECRET))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    syn = client.packet(C, 0, SYN, options=linux_syn_options())
    load_key = load(syn).key
    assert kernel.run(CLIENT, syn)[0] == DROPPED, "the filter of a packet socket lets a flow begin"
    kernel.programs.flows.put(load_key, begun(4711))
    outcome, after = kernel.run(CLIENT, syn)
    forwarded = load(after)
    assert outcome == TO_ROUTER
    assert (forwarded.seq, forwarded.ack, forwarded.flags) == (C, 4711 if kind is StampClientNic else 0, SYN)
    assert raw(forwarded)[40:] == syn[40:]
    assert word_sum(after[12:20] + struct.pack("!BBH", 0, 6, len(after) - 20) + after[20:]) == 0xFFFF
    assert kernel.run(CLIENT, syn)[0] == DROPPED, "repeated, it is user space's"
    kernel.stop()


@pytest.fixture(scope="module")
def learner() -> Iterator[Kernel]:
    try:
        kernel = Kernel(ServerNic())
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    yield kernel
    kernel.stop()


STAMPED = client.packet(C, 4711, SYN, options=linux_syn_options())


def greeted(kernel: Kernel, packet: bytes = STAMPED) -> bytes:
    """A flow of ServerNIC whose SYN the kernel has dealt with, if it is one that it deals with."""
    key = packet[12:24]
    kernel.programs.flows.remove(key)
    assert kernel.run(CLIENT, packet, "filter")[0] != 0, "user space has a copy in any case"
    kernel.after = kernel.run(CLIENT, packet)
    return key


def test_a_stamped_syn_is_forwarded_without_its_stamp(learner):
    key = greeted(learner)
    outcome, after = learner.after
    (action,) = ServerNic().receive(CLIENT, load(STAMPED), 0.0)
    assert outcome == TO_ROUTER
    assert routed(after) == raw(action.packet)
    assert learner.flows.greeted(key, C) == 4711
    assert learner.run(CLIENT, STAMPED)[0] == DROPPED, "repeated, it is user space's"


@pytest.mark.parametrize(
    "packet",
    [
        client.packet(C, 0, SYN, options=linux_syn_options()),
        client.packet(C, 4711, SYN),
        client.packet(C, 4711, SYN | ECE, options=linux_syn_options()),
        client.packet(C, 4711, SYN, options=linux_syn_options(), payload=b"early"),
        STAMPED[:36] + bytes((STAMPED[36] ^ 1,)) + STAMPED[37:],
    ],
    ids=["no stamp", "no options", "ecn", "payload", "bad checksum"],
)
def test_any_other_syn_is_left_to_user_space(learner, packet):
    key = greeted(learner, packet)
    assert learner.after[0] == DROPPED
    assert learner.flows.greeted(key, C) is None


@given(
    isn=st.integers(0, MASK), tsval=st.integers(0, MASK), scale=st.integers(0, 14), offered=st.integers(0, 14),
    stamp=st.integers(1, MASK),
)  # fmt: skip
@settings(max_examples=100)
def test_what_the_kernel_learns_is_what_the_core_learns(learner, isn, tsval, scale, offered, stamp):
    syn = client.packet(C, stamp, SYN, options=linux_syn_options(scale=offered))
    synack = server.packet(isn, C + 1, SYN | ACK, options=linux_synack_options(tsval=tsval, scale=scale))
    key = greeted(learner, syn)
    core = ServerNic()
    core.receive(CLIENT, load(syn), 0.0)
    core.receive(SERVER, load(synack), 0.0)
    (flow,) = core.flows
    assert learner.run(SERVER, synack, "filter")[0] != 0
    assert learner.run(SERVER, synack)[0] == DROPPED, "it ends here"
    learnt = flow.translation
    state, *numbers = VALUE.unpack(learner.programs.flows.get(key))[:5]
    assert state == 0
    assert numbers == [learnt.delta, learnt.ts_delta, learnt.to_client_shift, learnt.to_server_shift]
    assert not learner.is_given(CLIENT, client.packet(C + 1, stamp + 1, ACK, options=stamps(1, 2)))
    assert not learner.is_given(SERVER, server.packet(isn + 1, C + 1, ACK, options=stamps(1, 2)))


@pytest.mark.parametrize(
    "synack",
    [
        server.packet(R, C + 1, SYN | ACK),
        server.packet(R, C + 2, SYN | ACK, options=linux_synack_options()),
        server.packet(R, C + 1, SYN | ACK | ECE, options=linux_synack_options()),
        server.packet(R, C + 1, RST | ACK),
    ],
    ids=["no options", "not of this SYN", "ecn", "reset"],
)
def test_any_other_answer_teaches_user_space_alone(learner, synack):
    key = greeted(learner)
    assert learner.is_given(SERVER, synack)
    assert VALUE.unpack(learner.programs.flows.get(key))[0] == 1


def test_what_came_before_the_answer_is_not_overtaken(learner):
    greeted(learner)
    early, late = (client.packet(C + 1 + n, 4712, ACK | PSH, payload=b"x", options=stamps(n, 1)) for n in range(2))
    assert learner.is_given(CLIENT, early)
    assert learner.is_given(SERVER, server.packet(R, C + 1, SYN | ACK, options=linux_synack_options()))
    assert learner.is_given(CLIENT, late), "the early one is held in user space"
