"""ServerNIC in the `stamp` placement: reads V out of the SYN, learns R one hop away, translates.

    client side                                       server side
    SYN  seq=C ack=V  ───────▶  read V, zero it  ───▶  SYN  seq=C ack=0
    ACK, data  ack=V+1  ─────▶  hold                   SYN-ACK seq=R ack=C+1  (ends here: D = V - R)
                                release          ───▶  ACK, data  ack=R+1
    data  seq=V+1  ◀──────────  translate       ◀────  data  seq=R+1

The server's handshake is completed by the client's own ACK or data and by nothing else, so a SYN with a forged source
address never completes one. A SYN without a stamp (ack field 0) belongs to a flow that passes as it is.
"""

from __future__ import annotations

from hopscope_nic.core import options
from hopscope_nic.core.actions import CLIENT, SERVER, Actions, Send
from hopscope_nic.core.flow import WAITING, Flow
from hopscope_nic.core.segment import Segment
from hopscope_nic.core.translation import PLAIN
from hopscope_nic.core.translator import MASK, Translator


class ServerNic(Translator):
    """Translator of the `stamp` placement."""

    server_is_near = True

    def _syn(self, segment: Segment, now: float) -> Actions:
        flow = self._find(CLIENT, segment, now)
        if flow is not None:
            if flow.client_isn == segment.seq:
                flow.seen = now
                return self._repeated_syn(flow, segment)
            self._forget(flow, "replaced")
        if not segment.route():
            return self._drop("ttl")
        stamp = segment.ack
        flow = Flow(
            segment.key, segment.seq, stamp, options.read_syn(segment.buffer, segment.l4 + 20, segment.header_end), now
        )
        flow.syn_end = segment.next_seq
        if not self._make_room():
            return self._drop("table_full")
        self._admit(flow, now + self.limits.waiting)
        if stamp:
            segment.set_ack(0)
        else:
            self._open_plain(flow)
        self.counters.syn_forwarded += 1
        if self._log is not None:
            self._log("stamp_read" if stamp else "passed", flow)
        return [Send(SERVER, segment)]

    def _repeated_syn(self, flow: Flow, segment: Segment) -> Actions:
        """Sent again by ClientNIC or the client. The first stamp stays; a server that has answered is not asked again.

        ClientNIC only wants to hear that somebody is here: an ACK in the numbers of the flow tells it.
        """
        self.counters.duplicate_syn += 1
        if flow.state is WAITING or flow.translation is PLAIN:
            if not segment.route():
                return self._drop("ttl")
            if segment.ack:
                segment.set_ack(0)
            self.counters.syn_forwarded += 1
            return [Send(SERVER, segment)]
        if flow.translation is None:
            return self._drop("refused")
        self._heard_elsewhere(flow)
        if flow.server_heard:
            return self._drop("repeated_syn")  # the server speaks for itself, and its time stamps have gone on
        return [Send(CLIENT, self._bare_ack(flow, (flow.spoofed_isn + 1) & MASK)), *self._drop("repeated_syn")]
