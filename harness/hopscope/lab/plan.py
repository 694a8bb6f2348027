"""From a topology to what the keeper and the builder are told: plain data, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hopscope.errors import UsageError
from hopscope.model.topology import Host, Impairment, Link, Port, Topology

Mechanism = Literal["veth", "netem", "tap-line", "packet-line"]
NETEM_LIMIT = 200_000
"""Packets on their way in one direction; netem's default of 1000 drops at 12 Mbit/s and one second."""


def middle(link: Link) -> str:
    """The name of the namespace in the middle of an impaired link. No host can have it: a slash is in no host name."""
    return f"link/{link.name}"


def namespaces(topology: Topology) -> list[str]:
    """Every namespace of the lab: the hosts', and one for each impaired link."""
    return [host.name for host in topology.hosts] + [middle(link) for link in topology.links if link.impairment.active]


def build_plan(
    topology: Topology, descriptors: Mapping[str, int], mechanisms: Mapping[str, Mechanism]
) -> dict[str, Any]:
    """What the builder is told first; ``descriptors`` are the keeper's, by namespace, ``mechanisms`` by link."""
    return {
        "namespaces": dict(descriptors),
        "hosts": [{"name": host.name, "sysctls": host_sysctls(host)} for host in topology.hosts],
        "links": [_link(link, mechanisms[link.name]) for link in topology.links],
        "routes": [
            {"host": route.host, "destination": str(route.destination), "via": str(route.via), "port": route.port}
            for route in topology.routes()
        ],
    }


def host_sysctls(host: Host) -> list[tuple[str, str]]:
    """Forwarding as declared, and no IPv6 on a host without such an address, so that captures stay clean."""
    forwarding = "1" if host.forwarding else "0"
    ipv6 = any(address.version == 6 for port in host.ports for address in port.addresses)
    wanted = [("net.ipv4.ip_forward", forwarding)]
    if ipv6:
        wanted.append(("net.ipv6.conf.all.forwarding", forwarding))
    else:
        wanted += [("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")]
    return wanted


@dataclass(frozen=True)
class Offers:
    """What this machine has for impairing a link."""

    netem: bool
    tun: bool


def choose(link: Link, offers: Offers, forced: Mechanism | None = None) -> Mechanism:
    """How a link is made. netem cannot hold single packets back further (its ``reorder`` sends them early, before the
    link's delay has passed), so reordering is always the delay line's."""
    if not link.impairment.active:
        return "veth"
    if forced == "veth":
        raise UsageError(f"link {link.name} is impaired: it cannot be a bare veth")
    if forced is not None:
        return forced
    if offers.netem and link.impairment.reorder == 0:
        return "netem"
    return "tap-line" if offers.tun else "packet-line"


def netem_options(impairment: Impairment) -> dict[str, int | float]:
    """Options of ``tc ... netem`` for one direction as pyroute2 takes them: delay in µs, loss in percent."""
    options: dict[str, int | float] = {"delay": round(impairment.rtt_ms * 1000 / 2), "limit": NETEM_LIMIT}
    if impairment.loss:
        options["loss"] = impairment.loss * 100
    return options


def line_options(impairment: Impairment) -> dict[str, float]:
    """Options of the delay line, the same in both directions."""
    return {
        "delay_ms": impairment.rtt_ms / 2,
        "loss": impairment.loss,
        "reorder": impairment.reorder,
        "reorder_ms": impairment.reorder_ms,
    }


def _link(link: Link, mechanism: Mechanism) -> dict[str, Any]:
    return {
        "name": link.name,
        "mechanism": mechanism,
        "mtu": link.mtu,
        "namespace": middle(link) if link.impairment.active else None,
        "netem": netem_options(link.impairment),
        "a": _port(link.a),
        "b": _port(link.b),
    }


def _port(port: Port) -> dict[str, Any]:
    return {
        "host": port.host,
        "port": port.name,
        "mac": port.mac,
        "mtu": port.mtu,
        "addresses": [str(address) for address in port.addresses],
    }
