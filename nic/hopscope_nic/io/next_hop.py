"""Which Ethernet header a packet for a destination gets: by the kernel's forwarding table and ARP, or as learnt.

The fast path is one dictionary per port, destination address to the 14 octets of the header. It is filled from SYNs
that come in (who sent us a packet can be answered the same way) and otherwise from the kernel. An address that the
kernel has yet to resolve keeps its packets waiting, in order, a bounded number for a short time. The kernel tells when
it has resolved one; that it is also asked now and then is for a message that was lost.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple

from hopscope_nic.io.netlink import Changes, Hop, Netlink
from hopscope_nic.io.ports import Port

_ETHERTYPE_IPV4 = b"\x08\x00"
REFRESH = 30.0  # seconds after which the kernel is asked again, and made to probe its neighbour
PATIENCE = 1.0  # seconds that packets wait for ARP
ASK_AGAIN = 0.02  # seconds between questions while they wait
WAITING = 1024  # packets that may wait for one hop
_WAITING_OCTETS = 4 * 1024 * 1024
_KNOWN = 65536  # destinations remembered per port

NO_ROUTE = "no_route"
UNRESOLVED = "unresolved"

Resend = Callable[[bytes, bytearray], None]


class _Pending:
    """Packets that wait for a hop."""

    __slots__ = ("ask_at", "frames", "hop", "octets", "since")

    def __init__(self, hop: Hop, now: float) -> None:
        self.hop = hop
        self.since = now
        self.ask_at = now + ASK_AGAIN
        self.frames: List[Tuple[bytes, bytearray]] = []
        self.octets = 0


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

    def warm_up(self) -> None:
        """Have the kernel resolve the gateways behind this port, so that the first SYN need not wait for it."""
        for hop in self._netlink.gateways():
            if hop.ifindex == self._port.ifindex:
                self._use(hop)

    def _use(self, hop: Hop) -> bool:
        try:
            self._netlink.use_neighbour(hop)
        except OSError:
            return False
        return True

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
        pending = self._pending.get(self._via.get(destination, b""))
        if pending is None:
            hop = self._netlink.route(destination)
            if hop is None or hop.ifindex != self._port.ifindex:
                return NO_ROUTE
            self._via[destination] = hop.address
            pending = self._pending.get(hop.address)
            if pending is None:
                mac = self._netlink.neighbour(hop)
                if not self._use(hop):
                    return NO_ROUTE
                header = self._header(mac) if mac else self._stale.get(destination)
                if header is not None:
                    self.headers[destination] = header
                    return None
                pending = self._pending[hop.address] = _Pending(hop, now)
        if len(pending.frames) >= WAITING or pending.octets + len(frame) > _WAITING_OCTETS:
            return UNRESOLVED
        pending.frames.append((destination, bytearray(frame)))
        pending.octets += len(frame)
        return ""

    def resolved(self, address: bytes, mac: bytes, resend: Resend) -> None:
        """The kernel's entry for a hop has changed: use it, and send what waits for it."""
        if not mac:
            return
        header = self._header(mac)
        if address in self.headers:
            self.headers[address] = header
        for destination, hop in self._via.items():
            if hop == address:
                self.headers[destination] = header
        pending = self._pending.pop(address, None)
        if pending is not None:
            for destination, frame in pending.frames:
                self.headers[destination] = header
                resend(destination, frame)

    def tick(self, now: float, resend: Resend) -> int:
        """Refresh what is old, ask again for what is awaited. Returns how many packets have waited in vain."""
        if self._refresh_at is None:
            self._refresh_at = now + REFRESH
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH
            self._stale = self.headers
            self.headers = {}
            self._via.clear()
        lost = 0
        for address, pending in list(self._pending.items()):
            if now >= pending.ask_at:
                pending.ask_at = now + ASK_AGAIN
                self.resolved(address, self._netlink.neighbour(pending.hop), resend)
            if now - pending.since >= PATIENCE and self._pending.pop(address, None) is not None:
                lost += len(pending.frames)
        return lost

    def next_deadline(self) -> Optional[float]:
        """When `tick` has something to do for packets that wait; None when none do. (Refreshing waits for a packet.)"""
        return min((pending.ask_at for pending in self._pending.values()), default=None)


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
