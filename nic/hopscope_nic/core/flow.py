"""One flow: its states, and what is remembered of it.

All transitions are in `TRANSITIONS`; `Flow.move` refuses any other.

    WAITING ── the server's answer is not known; early segments are held
       │
       ├──▶ OPEN      the answer is known (or nothing is to be translated): segments cross, translated
       │      │
       ├──────┴──▶ CLOSING   both FINs are acknowledged, or an RST came: segments still cross, until it is quiet
       │
       └──▶ REFUSED   the server (or nobody) answered no; the client has its RST

Any state ends in GONE when the flow leaves its table.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, Optional

from hopscope_nic.core.hold import Held
from hopscope_nic.core.options import SynOptions
from hopscope_nic.core.segment import ACK, FIN, Segment, reverse
from hopscope_nic.core.translation import Translation

WAITING = "waiting"
OPEN = "open"
CLOSING = "closing"
REFUSED = "refused"
GONE = "gone"

TRANSITIONS: Dict[str, FrozenSet[str]] = {
    WAITING: frozenset((OPEN, CLOSING, REFUSED, GONE)),
    OPEN: frozenset((CLOSING, GONE)),
    CLOSING: frozenset((GONE,)),
    REFUSED: frozenset((GONE,)),
    GONE: frozenset(),
}

# Bits of Flow.ends
CLIENT_FIN = 1
SERVER_FIN = 2
CLIENT_FIN_ACKED = 4
SERVER_FIN_ACKED = 8
BOTH_FINS = CLIENT_FIN | SERVER_FIN
ALL_ACKED = BOTH_FINS | CLIENT_FIN_ACKED | SERVER_FIN_ACKED


_MASK, _HALF = 0xFFFFFFFF, 0x80000000


def at_or_after(left: int, right: int) -> bool:
    """left >= right in sequence space (RFC 9293 section 3.4)."""
    return (left - right) & _MASK < _HALF


class Flow:
    """State of one connection attempt. Sequence numbers are as the client sees them, unless said otherwise."""

    __slots__ = (
        "back_key",
        "client_fin_end",
        "client_heard",
        "client_isn",
        "due",
        "ends",
        "held_from_client",
        "held_from_server",
        "key",
        "offered",
        "retries",
        "seen",
        "server_fin_end",
        "server_heard",
        "spoofed_isn",
        "state",
        "steady",
        "syn",
        "syn_end",
        "translation",
    )

    def __init__(self, key: bytes, client_isn: int, spoofed_isn: int, offered: SynOptions, now: float) -> None:
        """`key` is the 4-tuple of client→server segments; `spoofed_isn` is V, 0 where nobody answered early."""
        self.key = key
        self.back_key = reverse(key)
        self.client_isn = client_isn
        self.spoofed_isn = spoofed_isn
        self.offered = offered
        self.state = WAITING
        self.seen = now
        self.due = 0.0
        self.syn_end = (client_isn + 1) & 0xFFFFFFFF
        self.translation: Optional[Translation] = None
        self.steady: Optional[Translation] = None
        """The translation, while the fast path may do it: the flow is open and neither end has said otherwise."""
        self.held_from_client: Optional[Held] = None
        self.held_from_server: Optional[Held] = None
        self.syn: Optional[Segment] = None
        self.retries = 0
        self.client_heard = False
        self.server_heard = False
        self.ends = 0
        self.client_fin_end = 0
        self.server_fin_end = 0

    def move(self, state: str) -> None:
        """Go to another state; AssertionError when the table does not know this transition."""
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"no way from {self.state} to {state}")
        self.state = state

    def note_client(self, segment: Segment) -> None:
        """Keep FIN and what is acknowledged, in the client's numbers (so before translation)."""
        if segment.flags & FIN and not self.ends & CLIENT_FIN:
            self.ends |= CLIENT_FIN
            self.client_fin_end = segment.next_seq
        if segment.flags & ACK and self.ends & SERVER_FIN and at_or_after(segment.ack, self.server_fin_end):
            self.ends |= SERVER_FIN_ACKED

    def note_server(self, segment: Segment) -> None:
        """The same for the other direction (so after translation)."""
        if segment.flags & FIN and not self.ends & SERVER_FIN:
            self.ends |= SERVER_FIN
            self.server_fin_end = segment.next_seq
        if segment.flags & ACK and self.ends & CLIENT_FIN and at_or_after(segment.ack, self.client_fin_end):
            self.ends |= CLIENT_FIN_ACKED

    def describe(self) -> str:
        """The 4-tuple for people: "10.1.0.10:40000>10.1.2.10:8080"."""
        key = self.key
        source, destination = (".".join(str(octet) for octet in key[at : at + 4]) for at in (0, 4))
        return f"{source}:{key[8] << 8 | key[9]}>{destination}:{key[10] << 8 | key[11]}"
