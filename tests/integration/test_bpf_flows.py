"""Whole flows that are the kernel's alone, from their SYN to their end, and when it gives them away.

What the kernel says is what the core would have said.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopscope_nic.core.actions import CLIENT, SERVER
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io.kernel_entry import AWAITED, BEGUN, GREETED, OPEN, OVER, OWN
from support.kernel import DROPPED, GIVEN, TO_ROUTER, Kernel, frame
from support.nic import (
    ACK,
    ECE,
    FIN,
    MASK,
    PSH,
    RST,
    SECRET,
    SYN,
    ends,
    linux_syn_options,
    linux_synack_options,
    load,
    raw,
    sent,
    stamps,
    word_sum,
)  # fmt: skip

pytestmark = pytest.mark.integration

C, R = 7, 99
client, server = ends()
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
    assert after[20:] == raw(action.packet)[20:], "the router does the rest"
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
