"""ClientNIC: answers a SYN at once, in either placement.

The SYN-ACK that it makes up is a function of the SYN alone (and of the MTU, for the MSS), so that ServerNIC knows it
without being told: the client's own window scale, SACK if offered, time stamps if offered with TSval = V, and a window
of `SPOOFED_WINDOW` octets. Options that it does not know are left out, which declines them. Two SYNs are not answered
but pass as they are, and with them their flows: those signed by MD5 or TCP-AO, whose segments cannot be edited.
A request for ECN (ECE, CWR) is taken out of the forwarded SYN: the client has been told no already.

Having been answered, the client will not send its SYN again. So this box does, until it hears from the server's side,
but only once the client has spoken: one that has not got the answer repeats its SYN itself, and a forged SYN (whose
sender never speaks) costs the server no more than it would without this box.
"""

from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Tuple

from hopscope_nic.core import answer, fast_path, options
from hopscope_nic.core.actions import CLIENT, SERVER, Action, Actions, Send
from hopscope_nic.core.flow import CLOSING, REFUSED, WAITING, Flow
from hopscope_nic.core.isn import spoofed_isn
from hopscope_nic.core.limits import SPOOFED_WINDOW, Limits, Link
from hopscope_nic.core.offload import Adopted
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import ACK, CWR, ECE, RST, SYN, Packet, Segment, build, reverse
from hopscope_nic.core.translator import MASK, FlowLog, Translator

_DEFAULT_MSS = 536  # RFC 9293 section 3.7.1
_HEADERS = 40


class ClientNic(Translator):
    """What both placements share: the early answer, and the SYN sent again."""

    stamps = False

    def __init__(
        self,
        secret: bytes,
        limits: Optional[Limits] = None,
        log: Optional[FlowLog] = None,
        links: Tuple[Link, Link] = (Link(1500), Link(1500)),
    ) -> None:
        """`secret` keys the ISNs (`isn.KEY_BYTES` octets)."""
        super().__init__(limits, log, links)
        self._secret = secret
        self.mss = min(max(min(link.mtu for link in links) - _HEADERS, _DEFAULT_MSS), 0xFFFF)

    def _syn(self, segment: Segment, now: float) -> Iterable[Action]:
        key = segment.key
        flow = self._find(CLIENT, segment, now)
        if flow is not None:
            if flow.client_isn == segment.seq:
                flow.seen = now
                return self._repeated_syn(flow, segment)
            self._forget(flow, "replaced")
        if segment.ttl <= 1:
            return self._drop("ttl")
        if not self._make_room():
            return self._drop("table_full")
        offered = options.read_syn(segment.buffer, segment.l4 + 20, segment.header_end)
        if offered.signed:
            return self._pass_syn(Flow(key, segment.seq, 0, offered, now), segment, now)
        return self._greet(key, segment, offered, now)

    def _greet(self, key: bytes, segment: Segment, offered: SynOptions, now: float) -> Iterator[Action]:
        """Answer a SYN, then forward it. The client waits for the first of these, so all bookkeeping comes later.

        Where an `offload` carries what the client says next, the SYN must be on its way by then: it goes first.
        """
        isn = spoofed_isn(self._secret, key, now)
        synack = Send(CLIENT, self._synack(reverse(key), isn, segment.seq, offered))
        if self.offload is None:
            yield synack
        segment.route()
        flow = Flow(key, segment.seq, isn, offered, now)
        flow.syn_end = segment.next_seq
        self._admit(flow, now + self.limits.first_retry)
        if segment.flags & (ECE | CWR):
            segment.set_flags(segment.flags & ~(ECE | CWR))
        segment.set_ack(isn if self.stamps else 0)
        flow.syn = segment.copy()
        self.counters.syn_answered += 1
        self.counters.syn_forwarded += 1
        yield Send(SERVER, segment)
        if self.offload is not None:
            yield synack
        if self._log is not None:
            self._log("syn_answered", flow)

    def _pass_syn(self, flow: Flow, segment: Segment, now: float) -> Actions:
        """Forward a SYN that is not answered, and let its flow be."""
        self._admit(flow, now + self.limits.waiting)
        self._open_plain(flow)
        segment.route()
        segment.set_ack(0)
        self.counters.syn_forwarded += 1
        return [Send(SERVER, segment)]

    def _synack(self, key: bytes, isn: int, client_isn: int, offered: SynOptions) -> Packet:
        """The answer to a SYN: `key` is its own 4-tuple, server first."""
        mss, scale, sack_permitted, tsval, _ = offered
        mss = self.mss if mss is None or mss > self.mss else mss
        ack = (client_isn + 1) & MASK
        if tsval is not None and scale is not None and sack_permitted:
            return answer.synack(key, isn, ack, mss, tsval, scale)
        stamps = None if tsval is None else (isn, tsval)
        promised = options.build_syn(mss, scale, sack_permitted, stamps)
        return build(key, isn, ack, SYN | ACK, SPOOFED_WINDOW, promised)

    def _repeated_syn(self, flow: Flow, segment: Segment) -> Actions:
        """The client has not seen our answer, or its SYN was late: the same V again, and no new flow."""
        self.counters.duplicate_syn += 1
        if flow.spoofed_isn == 0:
            if not segment.route():
                return self._drop("ttl")
            segment.set_ack(0)
            return [Send(SERVER, segment)]
        if flow.state is REFUSED:
            return self._drop("refused")
        actions: Actions = []
        if not flow.client_heard:
            again = self._synack(flow.back_key, flow.spoofed_isn, flow.client_isn, flow.offered)
            actions.append(Send(CLIENT, again))
        if flow.syn is not None:
            self.counters.syn_retransmitted += 1
            actions.append(Send(SERVER, flow.syn))
        return actions or self._drop("repeated_syn")

    def _wait_again(self, adopted: Adopted, now: float) -> None:
        super()._wait_again(adopted, now)
        flow, syn = adopted.flow, adopted.syn
        syn.route()
        syn.set_ack(flow.spoofed_isn if self.stamps else 0)
        flow.syn = syn
        self.flows.schedule(flow, max(now, adopted.began + self.limits.first_retry))

    def _due(self, flow: Flow, now: float) -> List[Action]:
        if flow.state is not WAITING or flow.syn is None:
            return super()._due(flow, now)
        if flow.retries >= self.limits.retries:
            flow.syn = None
            if not flow.client_heard:
                return super()._due(flow, now)
            self.counters.gave_up += 1
            self._turn_away(flow, now)
            reset = build(flow.back_key, (flow.spoofed_isn + 1) & MASK, (flow.client_isn + 1) & MASK, RST | ACK, 0)
            return [Send(CLIENT, reset)]
        flow.retries += 1
        self.flows.schedule(flow, now + self.limits.first_retry * 2**flow.retries)
        if not flow.client_heard:
            return []
        self.counters.syn_retransmitted += 1
        return [Send(SERVER, flow.syn)]


class HoldClientNic(ClientNic):
    """`hold`: early segments wait here for the real SYN-ACK, and this box translates. ServerNIC runs nothing.

    client side                                          WAN side
    SYN  seq=C  ────────▶  answer: SYN-ACK seq=V    ───▶  SYN  seq=C ack=0
    ACK, data  ack=V+1  ─▶  hold                           SYN-ACK seq=R ack=C+1  (ends here: D = V - R)
                            release                 ───▶  ACK, data  ack=R+1
    """


class StampClientNic(ClientNic):
    """`stamp`: V goes to ServerNIC in the SYN's acknowledgement field (ACK flag clear); the rest passes untouched.

    A flow is remembered only until both ends have been heard, for the SYN to be answered alike and sent again.
    """

    stamps = True

    def respond(self, side: int, segment: Segment, now: float) -> Iterable[Action]:
        """One segment that came in on `side`; anything but a SYN from the client crosses as it is.

        With an `offload`, all but a SYN has done so already.
        """
        flags = segment.flags
        crossed = self.offload is not None and not flags & SYN
        if side == CLIENT:
            if flags & SYN and not flags & ACK:
                return self._syn(segment, now)
            stopped = None if crossed else self._route(segment, SERVER)
            if stopped is not None:
                return stopped
            flow = self._find(CLIENT, segment, now)
            if flow is not None and flow.state is WAITING:
                flow.client_heard = True
                self._note(flow, flags, now)
            return [] if crossed else self._pass(SERVER, segment)
        flow = self._find(SERVER, segment, now)
        if flow is not None and flow.state is WAITING:
            if flags & SYN:
                # Nobody translates behind us: what the client was told cannot be made true.
                return self._drop("untranslated_synack")
            flow.server_heard = True
            self._note(flow, flags, now)
        stopped = None if crossed else self._route(segment, CLIENT)
        if stopped is not None:
            return stopped
        return [] if crossed else self._pass(CLIENT, segment)

    def _pass(self, side: int, segment: Segment) -> Actions:
        self.counters.passed += 1
        return [Send(side, segment)]

    def cross(self, side: int, buffer: bytearray, size: int, partial: bool, now: float) -> bool:
        """The short way for a frame of a flow that needs no watching."""
        if self.offload is not None:
            return False
        table = self.flows.by_client if side == CLIENT else self.flows.by_server
        return fast_path.route_only(table, self.counters, buffer, size)

    def _note(self, flow: Flow, flags: int, now: float) -> None:
        """A waiting flow has been heard: forget it soon once both ends have been, or when it was reset."""
        flow.seen = now
        if flow.server_heard:
            flow.syn = None
        if flags & RST or (flow.client_heard and flow.server_heard):
            flow.syn = None
            if self.offload is not None:
                self.offload.take_back(flow)
            self.flows.move(flow, CLOSING)
            self.flows.schedule(flow, now + self.limits.linger)

    def _pass_syn(self, flow: Flow, segment: Segment, now: float) -> Actions:
        segment.route()
        segment.set_ack(0)
        self.counters.syn_forwarded += 1
        return [Send(SERVER, segment)]
