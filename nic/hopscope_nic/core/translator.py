"""What both translating boxes do once the client has been answered early: wait, hold, learn, translate, end.

`HoldClientNic` and `ServerNic` differ in how a flow begins (who makes V up, what happens to the SYN) and in what they
say to a repeated SYN. All the rest is here. Written for one side only: `client` is whoever sent the SYN.

Segments of flows that are not known are dropped and counted: passing them untranslated would make the hosts reset each
other, and a peer that is alive sends them again.
"""

from __future__ import annotations

from typing import Callable, Iterable, List, Optional, Tuple

from hopscope_nic.core import fast_path, icmp, options
from hopscope_nic.core.actions import CLIENT, SERVER, Action, Actions, Drop, Hold, Send
from hopscope_nic.core.counters import Counters
from hopscope_nic.core.flow import (
    ALL_ACKED,
    BOTH_FINS,
    CLOSING,
    OPEN,
    REFUSED,
    WAITING,
    Flow,
    at_or_after,
)
from hopscope_nic.core.flow_table import FlowTable
from hopscope_nic.core.hold import Held, HoldPool
from hopscope_nic.core.limits import SPOOFED_WINDOW, Limits, Link
from hopscope_nic.core.offload import Adopted, Offload
from hopscope_nic.core.segment import ACK, ENDS, RST, SYN, Segment, build, reverse
from hopscope_nic.core.translation import PLAIN, Translation

MASK = 0xFFFFFFFF

FlowLog = Callable[[str, Flow], None]


class Translator:
    """Base of the two boxes that translate. `receive` and `tick` return what is to be sent, in order."""

    server_is_near = False
    """The server is one hop away, so that its answer to a SYN is the next thing to look for."""

    def __init__(
        self,
        limits: Optional[Limits] = None,
        log: Optional[FlowLog] = None,
        links: Tuple[Link, Link] = (Link(), Link()),
    ) -> None:
        """`links` are those of the client side and of the server side.

        `log(event, flow)` hears of every flow that begins, is learnt or ends; None: nobody listens."""
        self.limits = Limits() if limits is None else limits
        self.counters = Counters()
        self.flows = FlowTable(self.limits.flows)
        self.pool = HoldPool(self.limits.hold_total)
        self.links = links
        self.offload: Optional[Offload] = None
        """Who crosses ordinary segments of open flows instead of this machine."""
        self._log = log
        self.tells_flows = log is not None

    # -- the datapath's side

    def receive(self, side: int, segment: Segment, now: float) -> Actions:
        """One segment that came in on `side`. `segment` is the caller's again after its actions are carried out."""
        return list(self.respond(side, segment, now))

    def respond(self, side: int, segment: Segment, now: float) -> Iterable[Action]:
        """The same, action by action: what is urgent can be sent before all is decided.

        The caller goes through all of it before it hands over another segment or the time.
        """
        if side == CLIENT:
            if segment.flags & SYN:
                if segment.flags & ACK:
                    return self._drop("unexpected_synack")
                return self._syn(segment, now)
            flow = self._find(CLIENT, segment, now)
            if flow is None:
                return self._drop("unknown_flow")
            flow.seen = now
            if not flow.client_heard:
                flow.client_heard = True
                self._established(flow)
            if flow.translation is not None:
                return self._cross_to_server(flow, segment, now)
            return self._early_from_client(flow, segment, now)
        flow = self._find(SERVER, segment, now)
        if flow is None:
            return self._drop("unknown_flow")
        flow.seen = now
        if flow.translation is None:
            return self._answer(flow, segment, now)
        if segment.flags & SYN and flow.translation is not PLAIN:
            return self._repeated_synack(flow, segment)
        return self._cross_to_client(flow, segment, now)

    def cross(self, side: int, buffer: bytearray, size: int, partial: bool, now: float) -> bool:
        """The short way for a frame that needs no thought (see `fast_path`); False: it has to be received."""
        return fast_path.cross(self.flows, self.counters, side, buffer, size, partial, now)

    def next_deadline(self) -> Optional[float]:
        """When `tick` has something to do; None when never."""
        return self.flows.next_deadline()

    def tick(self, now: float) -> Actions:
        """Timers: what has become due by `now`."""
        actions: Actions = []
        for flow in self.flows.due(now):
            actions += self._due(flow, now)
        return actions

    def adopt(self, key: bytes, now: float) -> Optional[Flow]:
        """Go on with a flow that the `offload` has had to itself. None: there is none, or no room for it."""
        if self.offload is None or (adopted := self.offload.adopt(key, now)) is None:
            return None
        flow = adopted.flow
        self.offload.begin(flow)
        if not self._make_room():
            self.offload.forget(flow)
            return None
        self.flows.add(flow)
        if adopted.over or flow.translation is not None:
            self.flows.move(flow, CLOSING if adopted.over else OPEN)
        self.flows.schedule(flow, now + self._patience(flow))
        if flow.state is WAITING:
            self._wait_again(adopted, now)
        elif flow.state is CLOSING or flow.ends:
            self.flows.establish(flow)
            self.offload.take_back(flow)
        else:
            self._established(flow)
        return flow

    def _find(self, side: int, segment: Segment, now: float) -> Optional[Flow]:
        """The flow of a segment that came in on `side`."""
        key = segment.key
        flow = (self.flows.by_client if side == CLIENT else self.flows.by_server).get(key)
        return flow or self.adopt(key if side == CLIENT else reverse(key), now)

    def _wait_again(self, adopted: Adopted, now: float) -> None:
        """An adopted flow whose server has not answered."""
        if adopted.early is not None:
            adopted.flow.held_from_client = held = Held(self.pool, self.limits.hold_per_flow)
            held.add(adopted.early)

    # -- a flow begins

    def _syn(self, segment: Segment, now: float) -> Iterable[Action]:
        raise NotImplementedError

    def _make_room(self) -> bool:
        """For one more flow, at the cost of one that may go. False when the table is full of open ones."""
        victim = self.flows.victim()
        while victim is not None and victim.state is OPEN and self._heard_elsewhere(victim):
            victim = self.flows.victim()
        if victim is not None:
            self._forget(victim, "evicted")
            self.counters.evicted += 1
        return not self.flows.full

    def _admit(self, flow: Flow, wake: float) -> None:
        """Take a new flow in; look at it at `wake`."""
        self.flows.add(flow)
        if self.offload is not None:
            self.offload.begin(flow)
        self.flows.schedule(flow, wake)

    def _open_plain(self, flow: Flow) -> None:
        """Nobody answers this one early: it crosses as it is."""
        flow.translation = PLAIN
        self.flows.move(flow, OPEN)
        self.counters.passed += 1

    # -- the server has not answered yet

    def _early_from_client(self, flow: Flow, segment: Segment, now: float) -> Actions:
        if flow.state is REFUSED:
            return self._drop("refused")
        if segment.flags & RST:
            flow.syn = None  # it has given up: the server is not asked again
        held = flow.held_from_client
        if held is None:
            held = flow.held_from_client = Held(self.pool, self.limits.hold_per_flow)
        return self._hold(held, segment)

    def _hold(self, held: Held, segment: Segment) -> Actions:
        if held.is_repetition(segment):
            return self._drop("held_already")
        if not held.add(segment):
            return self._drop("hold_full")
        self.counters.held += 1
        return [Hold(segment.end - segment.head)]

    def _answer(self, flow: Flow, segment: Segment, now: float) -> Actions:
        """First words of the server. As in SYN-SENT (RFC 9293 section 3.10.7.3), its ack must be for our SYN."""
        if flow.state is REFUSED:
            return self._drop("refused")
        flags = segment.flags
        if flags & ACK:
            acceptable = at_or_after(segment.ack, (flow.client_isn + 1) & MASK) and at_or_after(
                flow.syn_end, segment.ack
            )
            if not acceptable:
                if flags & RST:
                    return self._drop("unacceptable_rst")
                # An older connection of the same ports is alive over there: this ends it, and the SYN comes again.
                reset = build(flow.key, segment.ack, 0, RST, 0)
                return [Send(SERVER, reset), *self._drop("unacceptable_ack")]
        if flags & RST:
            return self._refuse(flow, segment, now) if flags & ACK else self._drop("unacceptable_rst")
        if flags & SYN:
            return self._learn(flow, segment, now) if flags & ACK else self._drop("unexpected_syn")
        held = flow.held_from_server
        if held is None:
            held = flow.held_from_server = Held(self.pool, self.limits.hold_per_flow)
        return self._hold(held, segment)

    def _learn(self, flow: Flow, synack: Segment, now: float) -> Actions:
        """The real SYN-ACK: it ends here; what was held goes on its way."""
        agreed = options.read_syn(synack.buffer, synack.l4 + 20, synack.header_end)
        return self._open(flow, Translation.learn(flow.spoofed_isn, flow.offered, synack.seq, agreed), now)

    def _open(self, flow: Flow, translation: Translation, now: float) -> Actions:
        flow.translation = translation
        flow.syn = None
        self.flows.move(flow, OPEN)
        self._established(flow)
        self.counters.synack_learnt += 1
        if self._log is not None:
            self._log("synack_learnt", flow)
        actions: Actions = []
        if flow.held_from_client is not None:
            for segment in flow.held_from_client.take():
                self.counters.released += 1
                actions += self._cross_to_server(flow, segment, now)
            flow.held_from_client = None
        if flow.held_from_server is not None:
            for segment in flow.held_from_server.take():
                self.counters.released += 1
                actions += self._cross_to_client(flow, segment, now)
            flow.held_from_server = None
        return actions

    def _established(self, flow: Flow) -> None:
        """Both ends have been heard, perhaps: then the flow is safe in its table, and the fast path may have it."""
        translation = flow.translation
        if translation is None or not flow.client_heard or flow.state is not OPEN:
            return
        self.flows.establish(flow)
        if not (translation.strip_timestamps or translation.strip_sack):
            flow.steady = translation
            if self.offload is not None:
                self.offload.take(flow)

    def _heard_elsewhere(self, flow: Flow) -> bool:
        """Take note of what an `offload` has carried; True when that tells that the client is there."""
        if self.offload is None:
            return False
        from_client, from_server = self.offload.crossed(flow)
        flow.seen = max(flow.seen, from_client or 0.0, from_server or 0.0)
        if from_server is not None:
            flow.server_heard = True
        if from_client is None or flow.client_heard:
            return False
        flow.client_heard = True
        self._established(flow)
        return True

    def _refuse(self, flow: Flow, reset: Segment, now: float) -> Actions:
        """The server's RST, in numbers that the client, who believes itself connected, accepts (RFC 5961)."""
        if not reset.route():
            return self._drop("ttl")
        reset.set_seq((flow.spoofed_isn + 1) & MASK)
        self.counters.refused += 1
        self._turn_away(flow, now)
        return [Send(CLIENT, reset)]

    def _turn_away(self, flow: Flow, now: float) -> None:
        flow.syn = None
        self._give_back(flow)
        self.flows.move(flow, REFUSED)
        self.flows.schedule(flow, now + self.limits.linger)

    def _repeated_synack(self, flow: Flow, synack: Segment) -> Actions:
        """The server has not seen the client's ACK. Nothing is learnt anew; the client is made to say it again.

        A segment in front of the window has to be acknowledged (RFC 9293 section 3.10.7.4), as keep-alive uses it.
        """
        translation = flow.translation
        self.counters.duplicate_synack += 1
        if translation is None or not synack.flags & ACK:
            return self._drop("unexpected_syn")
        if (synack.seq + translation.delta) & MASK != flow.spoofed_isn:
            return self._drop("conflicting_synack")
        if flow.state is not OPEN:
            return self._drop("repeated_synack")
        self.counters.acks_probed += 1
        return [Send(CLIENT, self._bare_ack(flow, flow.spoofed_isn)), *self._drop("repeated_synack")]

    def _bare_ack(self, flow: Flow, seq: int) -> Segment:
        """An ACK of the client's SYN and nothing else, as the server would send it to the client."""
        offered = flow.offered
        stamps = b"" if offered.tsval is None else options.build_timestamps(flow.spoofed_isn, offered.tsval)
        window = max(1, SPOOFED_WINDOW >> (offered.window_scale or 0))
        return build(flow.back_key, seq, (flow.client_isn + 1) & MASK, ACK, window, stamps)

    # -- the server has answered

    def _route(self, segment: Segment, side: int) -> Optional[Actions]:
        """What a router does to a segment that leaves on `side`: None, or what becomes of one that may not leave."""
        mtu = self.links[side].mtu
        if segment.end - segment.head > mtu and not segment.superframe:
            message = icmp.fragmentation_needed(segment, mtu, self.links[1 - side].address)
            return [Send(1 - side, message), *self._drop("larger_than_mtu")]
        return None if segment.route() else self._drop("ttl")

    def _cross_to_server(self, flow: Flow, segment: Segment, now: float) -> Actions:
        stopped = self._route(segment, SERVER)
        if stopped is not None:
            return stopped
        if segment.flags & ENDS or flow.ends:
            flow.note_client(segment)
            self._close_if_over(flow, segment.flags, now)
        flow.translation.to_server(segment)  # type: ignore[union-attr]
        self.counters.translated += 1
        return [Send(SERVER, segment)]

    def _cross_to_client(self, flow: Flow, segment: Segment, now: float) -> Actions:
        stopped = self._route(segment, CLIENT)
        if stopped is not None:
            return stopped
        flow.server_heard = True
        flow.translation.to_client(segment)  # type: ignore[union-attr]
        if segment.flags & ENDS or flow.ends:
            flow.note_server(segment)
            self._close_if_over(flow, segment.flags, now)
        self.counters.translated += 1
        return [Send(CLIENT, segment)]

    def _close_if_over(self, flow: Flow, flags: int, now: float) -> None:
        if flow.steady is None:
            self._heard_elsewhere(flow)
        if flow.steady is not None:
            flow.steady = None
            if self.offload is not None:
                self.offload.take_back(flow)
        if (flags & RST or flow.ends == ALL_ACKED) and flow.state is OPEN:
            self.flows.move(flow, CLOSING)
            self.flows.schedule(flow, now + self.limits.linger)

    # -- a flow ends

    def _due(self, flow: Flow, now: float) -> List[Action]:
        """A flow's time to be looked at: forget it, or look again later."""
        self._heard_elsewhere(flow)
        expiry = flow.seen + self._patience(flow)
        if expiry > now:
            self.flows.schedule(flow, expiry)
            return []
        if flow.state in (WAITING, OPEN):
            self.counters.expired += 1
        self._forget(flow, "ended")
        return []

    def _patience(self, flow: Flow) -> float:
        """Seconds of silence after which a flow is forgotten."""
        limits = self.limits
        if flow.state is WAITING:
            return limits.waiting
        if flow.state is OPEN:
            if not flow.client_heard:
                return limits.waiting
            if flow.ends & BOTH_FINS == BOTH_FINS:
                return limits.ending
            return limits.half_closed if flow.ends else limits.idle
        return limits.linger

    def _forget(self, flow: Flow, event: str) -> None:
        if self.offload is not None:
            self.offload.forget(flow)
        self._give_back(flow)
        flow.syn = None
        self.flows.remove(flow)
        if self._log is not None:
            self._log(event, flow)

    def _give_back(self, flow: Flow) -> None:
        """Let go of held segments, which nobody will ask for."""
        for held in (flow.held_from_client, flow.held_from_server):
            if held is not None:
                held.take()
        flow.held_from_client = flow.held_from_server = None

    def _drop(self, reason: str) -> Actions:
        self.counters.drop(reason)
        return [Drop(reason)]
