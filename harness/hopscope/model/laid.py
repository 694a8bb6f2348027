"""A tunnel laid through a topology: which host and port each end is, and which networks lie behind it."""

from __future__ import annotations

from dataclasses import dataclass

from hopscope.errors import UsageError
from hopscope.model.sut import Sut
from hopscope.model.topology import Address, Host, Link, Network, Port, Role, Topology, suggestion
from hopscope.model.tunnel import Transport


@dataclass(frozen=True)
class LaidEnd:
    """One end of a tunnel on its host.

    ``inner`` are its addresses in the tunnel, ``outer`` the one that the transport uses, on ``underlay``; ``networks``
    lie behind it, and ``behind`` are the hosts there that do nothing but use the tunnel, nearest first.
    """

    host: str
    device: str
    inner: tuple[Address, ...]
    configure: bool
    outer: Address
    underlay: Port
    networks: tuple[Network, ...]
    behind: tuple[str, ...]

    def inner_of(self, version: int) -> Address | None:
        return next((each for each in self.inner if each.version == version), None)


@dataclass(frozen=True)
class Laid:
    """``ends`` in the order of the SUT; ``links`` are what the transport crosses, from the first to the second."""

    ends: tuple[LaidEnd, LaidEnd]
    links: tuple[Link, ...]
    transport: Transport
    server: str

    def end(self, host: str) -> LaidEnd:
        found = next((end for end in self.ends if end.host == host), None)
        if found is None:
            raise UsageError(f"{host!r} is no end of the tunnel{suggestion(host, [end.host for end in self.ends])}")
        return found

    def other(self, host: str) -> LaidEnd:
        first, second = self.ends
        return second if self.end(host) is first else first

    @property
    def client(self) -> LaidEnd:
        """The end that opens the transport."""
        return self.other(self.server)

    def values(self, host: str) -> dict[str, str]:
        """What the placeholders of a box on this host stand for; empty for a host that is no end."""
        if host not in [end.host for end in self.ends]:
            return {}
        return {"own": str(self.end(host).outer), "peer": str(self.other(host).outer)}


def lay(topology: Topology, sut: Sut) -> Laid:
    """Lay the tunnel of a SUT. Raises UsageError when the SUT is none, or its ends do not fit this topology."""
    if sut.tunnel is None:
        raise UsageError(f"SUT {sut.name} is no tunnel: it has no `tunnel:` that says what its ends are")
    names = [_host(topology, sut, key) for key in sut.tunnel.ends]
    if names[0] == names[1]:
        raise UsageError(f"SUT {sut.name}: both ends of the tunnel are on {names[0]}")
    links = topology.path(names[0], names[1])
    ends = []
    for name, key, link in zip(names, sut.tunnel.ends, (links[0], links[-1]), strict=True):
        end, port = sut.tunnel.ends[key], next(port for port in link.ports if port.host == name)
        outer = port.address(4) or port.address(6)
        if outer is None:
            raise UsageError(f"{port.key} of topology {topology.name} has no address for the transport of {sut.name}")
        networks, hosts = _behind(topology, name, links)
        ends.append(LaidEnd(name, end.device, end.ips, end.configure, outer, port, networks, hosts))
    server = _host(topology, sut, sut.tunnel.transport.server)
    return Laid((ends[0], ends[1]), links, sut.tunnel.transport, server)


def _host(topology: Topology, sut: Sut, key: str) -> str:
    names = [host.name for host in topology.hosts]
    if key in names:
        return key
    if key in set(Role):
        return topology.role(key).name
    raise UsageError(
        f"SUT {sut.name} has an end {key!r}, which is no host or role of topology {topology.name}"
        f"{suggestion(key, names)}"
    )


def _behind(topology: Topology, end: str, between: tuple[Link, ...]) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """Networks and hosts that are reached from an end without the links that the transport crosses."""
    networks: list[Network] = []
    hosts: list[str] = []
    waiting = [topology.host(end)]
    while waiting:
        here: Host = waiting.pop(0)
        for link in topology.links:
            if here.name not in (link.a.host, link.b.host) or link in between:
                continue
            networks += [each for each in link.subnets if each not in networks]
            other = link.b.host if link.a.host == here.name else link.a.host
            if other != end and other not in hosts:
                hosts.append(other)
                waiting.append(topology.host(other))
    return tuple(networks), tuple(hosts)
