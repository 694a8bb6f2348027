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
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.segment import HEADROOM
from hopscope_nic.core.selection import PortRange
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import bpf
from hopscope_nic.io.kernel_entry import AWAITED, BEGUN, GREETED, OPEN, OVER, OWN, Entry
from hopscope_nic.io.kernel_flows import KernelFlows
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
TO_ROUTER, DROPPED, GIVEN = 0xFFFFFFFF, 2, 7  # the last is bpf_redirect's: to a TAP, or out of the same port
client, server = ends()


class Kernel:
    """The programs of one box, and the machine that tells them what to carry."""

    def __init__(self, machine) -> None:
        self.machine = machine
        told = bpf.config(machine, [1500, 1500], [PortRange(client.peer_port, client.peer_port)], [], bytes(16))
        self.programs = bpf.Programs([1, 1], 16, told)
        machine.offload = self.flows = KernelFlows(self.programs.flows)
        self.thread = ThreadPoolExecutor(1, initializer=_leave)

    def run(self, side: int, packet: bytes) -> tuple[int, bytes]:
        """What becomes of a packet, and the packet behind the program."""
        program = f"cross_{'server' if side else 'client'}"
        outcome, frame = self.thread.submit(self.programs.run, program, MACS + b"\x08\x00" + packet).result(10)
        return outcome, frame[14:]

    def is_given(self, side: int, packet: bytes) -> bool:
        """Whether user space has it."""
        return self.run(side, packet)[0] == GIVEN

    def entry(self, packet: bytes) -> Entry:
        """Of the flow of a packet from the client."""
        return Entry.read(self.programs.flows.get(packet[12:24]))

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
    if outcome == GIVEN:
        kernel.flows.note(side, frame(packet))
        kernel.flows.settle()
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
    assert kernels[AGREED[0]].is_given(CLIENT, stranger.packet(1, 2, ACK))


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


SYN_PACKET = client.packet(C, 0, SYN, options=linux_syn_options())
STAMPED = client.packet(C, 4711, SYN, options=linux_syn_options())
SYNACK = server.packet(R, C + 1, SYN | ACK, options=linux_synack_options())


def is_right(packet: bytes) -> bool:
    """Both checksums."""
    pseudo = packet[12:20] + struct.pack("!BBH", 0, 6, len(packet) - 20)
    return word_sum(pseudo + packet[20:]) == 0xFFFF == word_sum(packet[:20])


@pytest.fixture(params=[HoldClientNic, StampClientNic, ServerNic])
def kernel(request) -> Iterator[Kernel]:
    try:
        made = Kernel(ServerNic() if request.param is ServerNic else request.param(SECRET))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    yield made
    made.stop()


client_nics = pytest.mark.parametrize("kernel", [HoldClientNic, StampClientNic], indirect=True)
translators = pytest.mark.parametrize("kernel", [HoldClientNic, ServerNic], indirect=True)
server_nic = pytest.mark.parametrize("kernel", [ServerNic], indirect=True)


def begin(kernel: Kernel) -> int:
    """The usual SYN of a box; V."""
    assert kernel.run(CLIENT, STAMPED if isinstance(kernel.machine, ServerNic) else SYN_PACKET)[0] == TO_ROUTER
    return kernel.entry(SYN_PACKET).isn


def open_flow(kernel: Kernel) -> int:
    isn = begin(kernel)
    assert kernel.run(SERVER, SYNACK)[0] == DROPPED, "it ends here"
    return isn


@client_nics
def test_a_usual_syn_is_answered_and_goes_on(kernel):
    outcome, after = kernel.run(CLIENT, SYN_PACKET)
    entry, forwarded = kernel.entry(SYN_PACKET), load(after)
    stamps_it = isinstance(kernel.machine, StampClientNic)
    assert outcome == TO_ROUTER
    assert (forwarded.seq, forwarded.ack, forwarded.flags) == (C, entry.isn if stamps_it else 0, SYN)
    assert raw(forwarded)[40:] == SYN_PACKET[40:]
    assert is_right(after)
    assert (entry.state, entry.client_isn) == (GREETED, C)
    assert list(kernel.machine.flows) == []


@client_nics
def test_a_repeated_syn_is_given_to_user_space_which_gives_the_same_answer(kernel):
    isn = begin(kernel)
    assert kernel.is_given(CLIENT, SYN_PACKET)
    assert kernel.entry(SYN_PACKET).state == BEGUN
    answer, forwarded = sent(kernel.machine.receive(CLIENT, load(SYN_PACKET), 0.0))
    stamps_it = isinstance(kernel.machine, StampClientNic)
    assert (answer.seq, answer.ack, forwarded.ack) == (isn, C + 1, isn if stamps_it else 0)


def test_a_new_syn_takes_the_place_of_an_old_flow(kernel):
    begin(kernel)
    later = client.packet(C + 100_000, 815, SYN, options=linux_syn_options())
    assert kernel.run(CLIENT, later)[0] == TO_ROUTER
    assert (kernel.entry(later).state, kernel.entry(later).client_isn) == (GREETED, C + 100_000)


@server_nic
def test_a_stamped_syn_is_forwarded_without_its_stamp(kernel):
    outcome, after = kernel.run(CLIENT, STAMPED)
    (action,) = ServerNic().receive(CLIENT, load(STAMPED), 0.0)
    assert outcome == TO_ROUTER
    assert routed(after) == raw(action.packet)
    assert kernel.entry(STAMPED).isn == 4711


@server_nic
@pytest.mark.parametrize(
    "packet",
    [
        SYN_PACKET,
        client.packet(C, 4711, SYN),
        client.packet(C, 4711, SYN | ECE, options=linux_syn_options()),
        client.packet(C, 4711, SYN, options=linux_syn_options(), payload=b"early"),
        STAMPED[:36] + bytes((STAMPED[36] ^ 1,)) + STAMPED[37:],
    ],
    ids=["no stamp", "no options", "ecn", "payload", "bad checksum"],
)
def test_any_other_syn_is_left_to_user_space(kernel, packet):
    assert kernel.is_given(CLIENT, packet)
    assert kernel.programs.flows.get(packet[12:24]) is None


@pytest.fixture(scope="module")
def learner() -> Iterator[Kernel]:
    try:
        kernel = Kernel(ServerNic())
    except EnvironmentFault as fault:
        pytest.skip(str(fault))
    yield kernel
    kernel.stop()


@given(
    isn=st.integers(0, MASK), tsval=st.integers(0, MASK), scale=st.integers(0, 14), offered=st.integers(0, 14),
    stamp=st.integers(1, MASK), window=st.integers(0, 65535), fields=st.tuples(st.integers(2, 255), st.booleans()),
)  # fmt: skip
@settings(max_examples=150)
def test_what_the_kernel_learns_and_says_is_what_the_core_would(
    learner, isn, tsval, scale, offered, stamp, window, fields
):
    """The client's bare ACK is early or late; early, the kernel keeps it and says it when the server has answered."""
    ttl, early = fields
    syn = client.packet(C, stamp, SYN, options=linux_syn_options(scale=offered))
    synack = server.packet(isn, C + 1, SYN | ACK, options=linux_synack_options(tsval=tsval, scale=scale))
    ack = client.packet(C + 1, stamp + 1, ACK, window=window, options=stamps(1234, stamp), ttl=ttl)
    learner.programs.flows.remove(syn[12:24])
    core = ServerNic()
    core.receive(CLIENT, load(syn), 0.0)
    assert learner.run(CLIENT, syn)[0] == TO_ROUTER
    for packet in (ack, ack) if early else ():
        assert learner.run(CLIENT, packet)[0] == DROPPED
        core.receive(CLIENT, load(packet), 0.0)
    said = sent(core.receive(SERVER, load(synack), 0.0), SERVER)
    outcome, after = learner.run(SERVER, synack)
    if early:
        assert (outcome, is_right(after)) == (GIVEN, True)
        assert after == raw(said[0]), "out of the port that the answer came in on, routed already"
    else:
        assert (outcome, said) == (DROPPED, [])
    (flow,) = core.flows
    learnt, entry = flow.translation, learner.entry(syn)
    assert entry.state == OWN
    assert entry[1:5] == (learnt.delta, learnt.ts_delta, learnt.to_client_shift, learnt.to_server_shift)
    assert not learner.is_given(CLIENT, client.packet(C + 1, stamp + 1, ACK, options=stamps(1, 2)))
    assert not learner.is_given(SERVER, server.packet(isn + 1, C + 1, ACK, options=stamps(1, 2)))


@translators
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
def test_any_other_answer_is_for_user_space(kernel, synack):
    begin(kernel)
    assert kernel.is_given(SERVER, synack)
    assert kernel.entry(SYN_PACKET).state == BEGUN


@translators
def test_what_came_before_the_answer_is_not_overtaken(kernel):
    """The ACK that the kernel has kept goes over to user space with the flow, and is released first."""
    isn = begin(kernel)
    ack = client.packet(C + 1, isn + 1, ACK, options=stamps(7, isn))
    early, late = (client.packet(C + 1 + n, isn + 1, ACK | PSH, payload=b"x", options=stamps(n, 1)) for n in range(2))
    assert kernel.run(CLIENT, ack)[0] == DROPPED
    assert kernel.entry(ack).state == AWAITED
    for side, packet in ((CLIENT, early), (SERVER, SYNACK), (CLIENT, late)):
        assert kernel.is_given(side, packet)
    kernel.flows.note(CLIENT, frame(early))
    assert sent(kernel.machine.receive(CLIENT, load(early), 0.0)) == []
    kernel.flows.settle()
    kernel.flows.note(SERVER, frame(SYNACK))
    released = sent(kernel.machine.receive(SERVER, load(SYNACK), 0.0), SERVER)
    assert [(each.payload_length, each.ack) for each in released] == [(0, R + 1), (1, R + 1)]
    kernel.flows.settle()
    assert kernel.entry(ack).state == OPEN
    assert kernel.is_given(CLIENT, late), "user space still has one of this side"
    kernel.flows.note(CLIENT, frame(late))
    kernel.flows.settle()
    assert not kernel.is_given(CLIENT, late)


def end(kernel: Kernel, isn: int, *flags: int) -> None:
    """The client's and the server's last words in turn, all the kernel's."""
    client_next, server_next = C + 1, R + 1
    for number, flag in enumerate(flags):
        ours = number % 2 == 0
        seq, ack = (client_next, server_next - R + isn) if ours else (server_next, client_next)
        packet = (client if ours else server).packet(seq, ack, flag, options=stamps(9, 9))
        assert kernel.run(SERVER - ours, packet)[0] == TO_ROUTER
        client_next, server_next = client_next + (ours and flag & FIN), server_next + (not ours and flag & FIN)


@translators
@pytest.mark.parametrize(
    ("flags", "ends"),
    [
        ((ACK,), 0),
        ((ACK | FIN,), 1),
        ((ACK | FIN, ACK), 1 | 4),
        ((ACK, ACK | FIN), 2),
        ((ACK | FIN, ACK | FIN), 1 | 2 | 4),
        ((ACK | FIN, ACK | FIN, ACK), 15 | OVER),
        ((ACK | FIN, ACK, ACK, ACK | FIN, ACK), 15 | OVER),
        ((RST,), OVER),
        ((ACK, RST | ACK), OVER),
    ],
)
def test_an_end_is_noted_and_carried(kernel, flags, ends):
    isn = open_flow(kernel)
    end(kernel, isn, *flags)
    assert (kernel.entry(SYN_PACKET).state, kernel.entry(SYN_PACKET).ends) == (OWN, ends)


@translators
def test_an_end_with_a_bad_checksum_is_not_believed(kernel):
    open_flow(kernel)
    packet = client.packet(C + 1, 5, RST)
    assert kernel.is_given(CLIENT, packet[:36] + bytes((packet[36] ^ 1,)) + packet[37:])
    assert kernel.entry(SYN_PACKET).ends == 0


@translators
def test_a_repeated_answer_is_for_user_space_which_asks_the_client(kernel):
    isn = open_flow(kernel)
    assert kernel.is_given(SERVER, SYNACK)
    (probe,) = sent(kernel.machine.receive(SERVER, load(SYNACK), 0.0), CLIENT)
    assert (probe.seq, probe.ack, probe.flags) == (isn, C + 1, ACK)


@pytest.mark.parametrize("kernel", [StampClientNic], indirect=True)
def test_a_box_that_passes_remembers_until_both_ends_are_heard(kernel):
    isn = begin(kernel)
    for side, packet in ((CLIENT, client.packet(C + 1, isn + 1, ACK)), (SERVER, server.packet(isn + 1, C + 1, ACK))):
        assert kernel.entry(SYN_PACKET).ends == 0
        assert kernel.run(side, packet) == (TO_ROUTER, packet)
    assert kernel.entry(SYN_PACKET).ends == OVER
    odd = client.packet(C + 1, isn + 1, ACK, ip_options=b"\1\1\1\0", ttl=1)
    assert kernel.run(CLIENT, odd) == (TO_ROUTER, odd), "its router knows what to do with that"


@pytest.mark.parametrize("kernel", [StampClientNic], indirect=True)
def test_an_answer_that_nobody_translates_is_kept_from_the_client(kernel):
    begin(kernel)
    assert kernel.is_given(SERVER, SYNACK)
    assert kernel.machine.receive(SERVER, load(SYNACK), 0.0)[0].reason == "untranslated_synack"


def swept(kernel: Kernel, linger: float = 1e3, patience: float = 1e3, **limits: float):
    return kernel.programs.sweep(Limits(**limits), linger, patience)


def test_a_sweep_takes_away_what_is_over_and_what_nobody_answers(kernel):
    begin(kernel)
    assert swept(kernel) == ((1, 0, 0), [])
    assert swept(kernel, waiting=0) == ((0, 0, 1), [])
    assert swept(kernel) == ((0, 0, 0), [])
    isn = begin(kernel)
    if not isinstance(kernel.machine, StampClientNic):
        kernel.run(SERVER, SYNACK)
    assert kernel.run(CLIENT, client.packet(C + 1, isn + 1, RST))[0] == TO_ROUTER
    assert swept(kernel, waiting=0) == ((0, 1, 0), [])
    assert swept(kernel, linger=0) == ((0, 0, 0), [])


@translators
def test_a_sweep_is_as_patient_as_the_core(kernel):
    for flags, limit in (((ACK,), "idle"), ((ACK | FIN,), "half_closed"), ((ACK | FIN, ACK | FIN), "ending")):
        end(kernel, open_flow(kernel), *flags)
        others = {"waiting", "idle", "half_closed", "ending"} - {limit}
        assert swept(kernel, **dict.fromkeys(others, 0)) == ((1, 0, 0), [])
        assert swept(kernel, **{limit: 0}) == ((0, 0, 1), [])


@client_nics
def test_a_sweep_calls_for_user_space_when_a_client_that_has_spoken_is_not_answered(kernel):
    isn = begin(kernel)
    assert swept(kernel, patience=0) == ((1, 0, 0), []), "nobody knows that there is a client"
    kernel.run(CLIENT, client.packet(C + 1, isn + 1, ACK, options=stamps(7, isn)))
    assert swept(kernel) == ((1, 0, 0), [])
    (key,) = swept(kernel, patience=0)[1]
    assert key == SYN_PACKET[12:24]
    assert swept(kernel, patience=0)[1] == [key], "called once more, in case that the first was not heard"
    assert swept(kernel, patience=0)[1] == []
    assert kernel.machine.adopt(key, 0.0).client_heard
    again = [segment for segment in sent(kernel.machine.tick(1e9), SERVER) if segment.flags == SYN]
    assert len(again) == 1
