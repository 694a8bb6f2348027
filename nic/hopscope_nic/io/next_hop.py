"""Which Ethernet header a packet for a destination gets: by the kernel's forwarding table and ARP, or as learnt.

The fast path is one dictionary per port, destination address to the 14 octets of the header. It is filled from SYNs
that come in (who sent us a packet can be answered the same way) and otherwise from the kernel. An address that the
kernel has yet to resolve keeps its packets waiting, a few of them, for a short time.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from hopscope_nic.io.netlink import Changes, Hop, Netlink
from hopscope_nic.io.ports import Port

_ETHERTYPE_IPV4 = b"\x08\x00"
REFRESH = 30.0  # seconds after which the kernel is asked again, and made to probe its neighbour
PATIENCE = 1.0  # seconds that packets wait for ARP
_WAITING = 64  # packets that may wait for one hop
_KNOWN = 65536  # destinations remembered per port

NO_ROUTE = "no_route"
UNRESOLVED = "unresolved"

Resend = Callable[[bytes, bytearray], None]


class _Pending(NamedTuple):
    """Packets that wait for a hop: (destination, frame)."""

    since: float
    frames: List[Tuple[bytes, bytearray]]


class NextHops:
    """Ethernet headers for packets that leave by one port."""

    def __init__(self, port: Port, netlink: Netlink) -> None:
        self._port = port
        self._netlink = netlink
        self.headers: Dict[bytes, bytes] = {}
        """Destination (4 octets) to Ethernet header (14 octets); a miss is `find`'s to fill."""
        self._stale: Dict[bytes, bytes] = {}
        self._via: Dict[bytes, bytes] = {}
        self._pending: Dict[bytes, _Pending] = {}
        self._refresh_at: Optional[float] = None

    def _header(self, mac: bytes) -> bytes:
        return mac + self._port.mac + _ETHERTYPE_IPV4

    def learn(self, address: bytes, mac: bytes) -> None:
        """`address` has sent us a packet from `mac`; what is known already stays."""
        if address not in self.headers:
            if len(self.headers) >= _KNOWN:
                self.forget()
            self.headers[address] = self._header(mac)

    def forget(self) -> None:
        """Something changed that all of it may rest on."""
        self.headers.clear()
        self._stale.clear()
        self._via.clear()

    def find(self, destination: bytes, frame: bytearray, now: float) -> Optional[str]:
        """Make up for a destination that `headers` does not have.

        None: it has it now. "": a copy of `frame` waits for ARP. Otherwise the reason why the packet is lost.
        """
        hop = self._netlink.route(destination)
        if hop is None or hop.ifindex != self._port.ifindex:
            return NO_ROUTE
        mac = self._netlink.neighbour(hop)
        try:
            self._netlink.use_neighbour(hop)
        except OSError:
            return NO_ROUTE
        self._via[destination] = hop.address
        if mac:
            self.headers[destination] = self._header(mac)
            return None
        if destination in self._stale:
            self.headers[destination] = self._stale[destination]
            return None
        pending = self._pending.setdefault(hop.address, _Pending(now, []))
        if len(pending.frames) >= _WAITING:
            return UNRESOLVED
        pending.frames.append((destination, bytearray(frame)))
        return ""

    def resolved(self, address: bytes, mac: bytes, resend: Resend) -> None:
        """The kernel's entry for a hop has changed: use it, and send what waits for it."""
        if not mac:
            return
        header = self._header(mac)
        for destination, hop in self._via.items():
            if hop == address:
                self.headers[destination] = header
        pending = self._pending.pop(address, None)
        if pending is not None:
            for destination, frame in pending.frames:
                self.headers[destination] = header
                resend(destination, frame)

    def tick(self, now: float) -> int:
        """Refresh what is old; give up packets that have waited too long. Returns how many of them."""
        if self._refresh_at is None:
            self._refresh_at = now + REFRESH
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH
            self._stale = self.headers
            self.headers = {}
            self._via.clear()
        lost = 0
        for address, pending in list(self._pending.items()):
            if now - pending.since >= PATIENCE:
                lost += len(pending.frames)
                del self._pending[address]
        return lost

    def next_deadline(self) -> Optional[float]:
        """When packets that wait must be given up; None when none wait. (Refreshing can wait for the next packet.)"""
        return min((pending.since + PATIENCE for pending in self._pending.values()), default=None)


def apply_changes(
    changes: Changes, by_port: Dict[int, NextHops], resend: Callable[[int, bytes, bytearray], None]
) -> None:
    """Hand what the kernel reports to the ports (by interface index); `resend(index, destination, frame)`."""
    neighbours, other = changes.read()
    if other:
        for hops in by_port.values():
            hops.forget()
    for neighbour in neighbours:
        hops_of_port = by_port.get(neighbour.ifindex)
        if hops_of_port is not None:
            index = neighbour.ifindex
            hops_of_port.resolved(
                neighbour.address,
                neighbour.mac,
                lambda to, frame, index=index: resend(index, to, frame),  # type: ignore[misc]
            )


__all__ = ["NO_ROUTE", "UNRESOLVED", "Hop", "NextHops", "apply_changes"]
