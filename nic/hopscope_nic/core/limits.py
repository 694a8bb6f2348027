"""Bounds and times of a machine."""

from __future__ import annotations

from typing import NamedTuple

SPOOFED_WINDOW = 64240  # octets promised before the server has spoken; a flow's hold has room for them


class Link(NamedTuple):
    """What a machine knows of the link behind a port."""

    mtu: int = 65535
    address: bytes = bytes(4)
    """Our own address there, packed: the source of what we say as a router."""


class Limits(NamedTuple):
    """Times in seconds, sizes in octets (a held segment costs its frame and an overhead)."""

    flows: int = 65536
    hold_per_flow: int = 256 * 1024
    hold_total: int = 64 * 1024 * 1024
    first_retry: float = 1.0
    """Until the forwarded SYN is sent again; doubled each time (RFC 6298 section 2)."""
    retries: int = 5
    """Then a client that has spoken gets an RST, 63 s after its SYN."""
    waiting: float = 75.0
    """A flow of which one end has not been heard, since its last segment."""
    linger: float = 2.0
    """A flow that is over, since its last segment: long enough to carry a repeated FIN and its ACK."""
    ending: float = 60.0
    """Both FINs seen, one not acknowledged."""
    half_closed: float = 3600.0
    idle: float = 7440.0
    """An open flow in silence: RFC 5382 section 5 asks for 2 h 4 min at least."""
