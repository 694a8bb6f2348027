"""As much rtnetlink as a datapath needs: dump links and addresses, ask for a route and a neighbour, hear of changes.

Layouts from linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/neighbour.h. /sys/class/net is not used: after
setns it still shows the old namespace.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from hopscope_nic.errors import EnvironmentFault

RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x400
NTF_USE = 0x01
RTMGRP_LINK, RTMGRP_NEIGH, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x1, 0x4, 0x10, 0x40

NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # reachable, stale, delay, probe, noarp, permanent

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_INT = struct.Struct("=i")
_UINT = struct.Struct("=I")

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU = 1, 3, 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
_RTN_UNICAST = 1
_TIMEOUT = 2.0


class Link(NamedTuple):
    """A network interface."""

    ifindex: int
    name: str
    mac: bytes
    mtu: int


class Address(NamedTuple):
    """An IPv4 address of an interface, packed, with its prefix length."""

    ifindex: int
    local: bytes
    prefix: int


class Hop(NamedTuple):
    """Where a destination is reached: interface index, and the packed address to resolve there."""

    ifindex: int
    address: bytes


class Neighbour(NamedTuple):
    """An entry of the ARP table; `mac` is empty while it is not (or no longer) valid."""

    ifindex: int
    address: bytes
    mac: bytes


def _attributes(data: bytes, at: int, end: int) -> Dict[int, bytes]:
    found = {}
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > end:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def _messages(data: bytes) -> Iterator[Tuple[int, int, int, int]]:
    """(type, sequence, begin, end of the body) of each message in a datagram."""
    at = 0
    while at + 16 <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if length < 16:
            return
        yield kind, sequence, at + 16, min(at + length, len(data))
        at += (length + 3) & ~3


def _neighbour(data: bytes, begin: int, end: int, deleted: bool) -> Optional[Neighbour]:
    family, index, state, _, _ = _NEIGHBOUR.unpack_from(data, begin)
    if family != socket.AF_INET:
        return None
    found = _attributes(data, begin + 12, end)
    mac = found.get(_NDA_LLADDR, b"")
    if deleted or not state & NUD_VALID or len(mac) != 6:
        mac = b""
    return Neighbour(index, found.get(_NDA_DST, b""), mac)


class Netlink:
    """Requests and their answers, one after the other."""

    def __init__(self) -> None:
        """Opens in the network namespace of the calling thread."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes) -> List[Tuple[int, bytes]]:
        """(type, body) of every answer. OSError with the kernel's errno; EnvironmentFault when it is silent."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | flags, self._sequence, 0) + body)
        answers: List[Tuple[int, bytes]] = []
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except socket.timeout:
                raise EnvironmentFault("netlink does not answer") from None
            for answer, sequence, begin, end in _messages(data):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return answers
                if answer == NLMSG_ERROR:
                    code = -_INT.unpack_from(data, begin)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return answers
                answers.append((answer, data[begin:end]))
            if answers and not flags & NLM_F_DUMP:
                return answers

    def links(self) -> List[Link]:
        """All interfaces of this namespace."""
        found = []
        for kind, body in self._ask(RTM_GETLINK, NLM_F_DUMP, _LINK.pack(0, 0, 0, 0, 0)):
            if kind == RTM_NEWLINK:
                _, _, index, _, _ = _LINK.unpack_from(body)
                values = _attributes(body, 16, len(body))
                name = values.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode()
                mtu = _UINT.unpack(values[_IFLA_MTU])[0] if _IFLA_MTU in values else 0
                found.append(Link(index, name, values.get(_IFLA_ADDRESS, b""), mtu))
        return found

    def addresses(self) -> List[Address]:
        """All IPv4 addresses of this namespace."""
        found = []
        for kind, body in self._ask(RTM_GETADDR, NLM_F_DUMP, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
            family, prefix, _, _, index = _ADDRESS.unpack_from(body)
            values = _attributes(body, 8, len(body))
            local = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS, b""))
            if kind == RTM_NEWADDR and family == socket.AF_INET and len(local) == 4:
                found.append(Address(index, local, prefix))
        return found

    def route(self, destination: bytes) -> Optional[Hop]:
        """The forwarding table's answer for a packed IPv4 address; None when it is not to be reached by a neighbour."""
        body = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + _attribute(_RTA_DST, destination)
        try:
            answers = self._ask(RTM_GETROUTE, 0, body)
        except OSError:
            return None
        for kind, answer in answers:
            if kind == RTM_NEWROUTE and answer[7] == _RTN_UNICAST:
                values = _attributes(answer, 12, len(answer))
                if _RTA_OIF in values:
                    return Hop(_INT.unpack(values[_RTA_OIF])[0], values.get(_RTA_GATEWAY, destination))
        return None

    def gateways(self) -> List[Hop]:
        """Next hops that routes name by their address."""
        found = []
        for kind, answer in self._ask(RTM_GETROUTE, NLM_F_DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            values = _attributes(answer, 12, len(answer))
            if kind == RTM_NEWROUTE and _RTA_OIF in values and len(values.get(_RTA_GATEWAY, b"")) == 4:
                found.append(Hop(_INT.unpack(values[_RTA_OIF])[0], values[_RTA_GATEWAY]))
        return found

    def neighbour(self, hop: Hop) -> bytes:
        """MAC of a neighbour, empty when the kernel does not know it now."""
        body = _NEIGHBOUR.pack(socket.AF_INET, hop.ifindex, 0, 0, 0) + _attribute(_NDA_DST, hop.address)
        try:
            answers = self._ask(RTM_GETNEIGH, 0, body)
        except OSError:
            return b""
        for kind, answer in answers:
            found = _neighbour(answer, 0, len(answer), False) if kind == RTM_NEWNEIGH else None
            if found is not None:
                return found.mac
        return b""

    def use_neighbour(self, hop: Hop) -> None:
        """Have the kernel resolve or refresh a neighbour, as a packet for it would (NTF_USE). OSError if refused."""
        body = _NEIGHBOUR.pack(socket.AF_INET, hop.ifindex, 0, NTF_USE, 0) + _attribute(_NDA_DST, hop.address)
        self._ask(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE, body)


class Changes:
    """What changes in this namespace: neighbours, and whether anything else did that a cache rests on."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE))

    def fileno(self) -> int:
        """For epoll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def read(self) -> Tuple[List[Neighbour], bool]:
        """(neighbours that changed, whether routes, addresses or links did). An overrun counts as the latter."""
        neighbours: List[Neighbour] = []
        other = False
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return neighbours, other
            except OSError:
                other = True  # ENOBUFS: messages were lost, so anything may have changed
                continue
            for kind, _, begin, end in _messages(data):
                if kind in (RTM_NEWNEIGH, RTM_DELNEIGH):
                    found = _neighbour(data, begin, end, kind == RTM_DELNEIGH)
                    if found is not None:
                        neighbours.append(found)
                else:
                    other = True
