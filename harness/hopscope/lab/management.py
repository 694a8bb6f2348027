"""A management network for a lab: one more host, with a link of its own to each of the others.

It is a topology like any other. Nothing crosses it but what is sent from ``management``, which does not forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network

from hopscope.errors import UsageError
from hopscope.model.topology import Host, Link, Port, Topology, stable_mac

NAME = "management"
PORT = "mgmt0"
POOL = IPv4Network("100.64.0.0/16")
"""Shared address space (RFC 6598): nobody's own network, and rarely a lab's."""


def with_management(topology: Topology) -> Topology:
    """The topology with the host ``management`` and a port ``mgmt0`` on every other host."""
    if any(host.name == NAME for host in topology.hosts):
        raise UsageError(f"topology {topology.name} has a host {NAME!r}, the name of the one to be added")
    free = _free(topology)
    links = [_link(host, index, next(free)) for index, host in enumerate(topology.hosts)]
    hosts = [
        host.model_copy(update={"ports": (*host.ports, link.b)})
        for host, link in zip(topology.hosts, links, strict=True)
    ]
    center = Host(name=NAME, forwarding=False, ports=tuple(link.a for link in links))
    return topology.model_copy(update={"hosts": (*hosts, center), "links": (*topology.links, *links)})


def address(topology: Topology, host: str) -> str:
    """The management address of a host."""
    return str(topology.host(host).port(PORT).address(4))


def _link(host: Host, index: int, subnet: IPv4Network) -> Link:
    ends = [(NAME, f"to{index}", 1), (host.name, PORT, 2)]
    a, b = (
        Port(
            host=name,
            name=port,
            addresses=(IPv4Interface(f"{subnet[number]}/{subnet.prefixlen}"),),
            mac=stable_mac(name, port),
        )
        for name, port, number in ends
    )
    return Link(a=a, b=b)


def _free(topology: Topology) -> Iterator[IPv4Network]:
    taken = [subnet for link in topology.links for subnet in link.subnets if isinstance(subnet, IPv4Network)]
    return (each for each in POOL.subnets(new_prefix=30) if not any(each.overlaps(other) for other in taken))
