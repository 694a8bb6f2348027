"""What the hosts of a stack should be like inside, and what mends them: pure, from a topology and surveys.

The same kind of facts as ``desired`` has of AWS, under keys ``guest HOST`` and ``agent HOST``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

from hopscope.aws.desired import Fact, router
from hopscope.aws.userdata import PACKAGES
from hopscope.model.topology import Port, Route, Topology

ONLINE = "online"
CLOCK_SECONDS = 1.0
CLOCK = "within 1 s of this machine's"
Survey = Mapping[str, Any]

# The routes that were given with an address go with it, unless the next one is promoted.
READDRESS = (
    'device=$1; sysctl -q -w "net.ipv4.conf.$device.promote_secondaries=1"; ip address replace "$2" dev "$device"; '
    'shift 2; for stale; do ip address del "$stale" dev "$device"; done'
)
# With everything more specific, which would still be preferred.
REROUTE = 'ip route flush root "$1" table main; ip route replace "$1" via "$2" dev "$3"'


def agent_key(host: str) -> str:
    return f"agent {host}"


def guest_key(host: str) -> str:
    return f"guest {host}"


def facts(topology: Topology, mtu: int) -> tuple[Fact, ...]:
    """``topology`` has the addresses that its interfaces have in AWS; ``mtu`` is that of all links."""
    agents = (
        Fact(agent_key(host.name), "state", ONLINE, f"nothing can be run on {host.name}") for host in topology.hosts
    )
    return (*agents, *(fact for host in topology.hosts for fact in _guest(topology, host.name, mtu)))


def ways(topology: Topology, host: str) -> list[Route]:
    return [each for each in topology.routes() if each.host == host and isinstance(each.destination, IPv4Network)]


def destinations(topology: Topology, host: str) -> dict[str, list[str]]:
    """The addresses that there are in each subnet that a host is not on."""
    return {
        str(route.destination): [
            str(address.ip) for port in topology.ports for address in port.addresses if address.ip in route.destination
        ]
        for route in ways(topology, host)
    }


def _guest(topology: Topology, name: str, mtu: int) -> Iterator[Fact]:
    host, key = topology.host(name), guest_key(name)
    yield Fact(key, "tools", "all there", f"{name} cannot be a host of a lab")
    yield Fact(key, "clock", CLOCK, "certificates and signed addresses are refused, and logs cannot be compared")
    if host.forwarding:
        yield Fact(key, "forwarding", "on", f"{name} drops what is not its own: nothing comes through it")
    for port in host.ports:
        yield Fact(key, f"link {port.name}", "up", f"{name} is not on its link {port.name}")
        yield Fact(key, f"address {port.name}", str(own(port)), f"EC2 drops what {name} sends by {port.name}")
        yield Fact(key, f"mtu {port.name}", str(mtu), f"large segments vanish at {name}, or take another size")
    for route in ways(topology, name):
        effect = f"packets of {name} to {route.destination} go another way, or none"
        yield Fact(key, f"way to {route.destination}", _way(str(route.via), route.port), effect)


def own(port: Port) -> IPv4Interface:
    return next(each for each in port.addresses if isinstance(each, IPv4Interface))


def _way(via: str, port: str) -> str:
    return f"{via} by {port}"


def interface(port: Port, survey: Survey) -> Mapping[str, Any] | None:
    """What a survey says of the interface with a port's MAC."""
    return next((each for each in survey["interfaces"] if each.get("address") == port.mac), None)


def common_mtu(topology: Topology, surveys: Mapping[str, Survey]) -> int:
    """The largest of any port: what the network carries, as those that differ have been made smaller."""
    found = [
        int(entry["mtu"])
        for port in topology.ports
        if port.host in surveys and (entry := interface(port, surveys[port.host])) is not None
    ]
    return max(found, default=0)


def seen(
    topology: Topology, host: str, survey: Survey, told: Mapping[str, Mapping[str, Any]], ahead_seconds: float
) -> dict[tuple[str, str], str]:
    """Values by key and aspect. ``told`` is what the host says of its ways, by address; ``ahead_seconds`` by how much
    its clock is ahead of ours for certain."""
    key = guest_key(host)
    lacks = [tool for tool, path in survey["tools"].items() if path is None]
    found = {
        (key, "tools"): f"without {', '.join(lacks)}" if lacks else "all there",
        (key, "clock"): CLOCK if abs(ahead_seconds) <= CLOCK_SECONDS else f"{ahead_seconds:+.0f} s off",
        (key, "forwarding"): "on" if survey["sysctls"].get("net.ipv4.ip_forward") == "1" else "off",
    }
    names = {}
    for port in topology.host(host).ports:
        entry = interface(port, survey)
        if entry is None:
            continue
        names[entry["ifname"]] = port.name
        found[key, f"link {port.name}"] = "up" if "UP" in entry.get("flags", ()) else "down"
        found[key, f"address {port.name}"] = ", ".join(map(str, _addresses(entry))) or "none"
        found[key, f"mtu {port.name}"] = str(entry["mtu"])
    for route in ways(topology, host):
        wanted = _way(str(route.via), route.port)
        router_there = router(own(topology.host(host).port(route.port)).network)
        for address in destinations(topology, host)[str(route.destination)]:
            way = told.get(address, {})
            via, device = way.get("gateway", "its own link" if way else "nowhere"), way.get("dev", "nothing")
            port_name = names.get(device, device)
            # The VPC's router does as well: its table says where to.
            right = port_name == route.port and (via == str(route.via) or via == router_there)
            value = wanted if right else _way(via, port_name)
            if found.get((key, f"way to {route.destination}"), wanted) == wanted:
                found[key, f"way to {route.destination}"] = value
    return found


def _addresses(entry: Mapping[str, Any]) -> list[IPv4Interface]:
    return [
        ipaddress.IPv4Interface(f"{each['local']}/{each['prefixlen']}")
        for each in entry.get("addr_info", ())
        if each.get("family") == "inet"
    ]


def remedy(topology: Topology, fact: Fact, survey: Survey) -> list[str] | None:
    """The command that mends a fact on its guest; None where a person has to."""
    host, (aspect, _, which) = fact.key.partition(" ")[2], fact.aspect.partition(" ")
    devices = {
        port.name: entry["ifname"]
        for port in topology.host(host).ports
        if (entry := interface(port, survey)) is not None
    }
    if aspect == "clock":
        return ["chronyc", "makestep"]
    if aspect == "forwarding":
        return ["sysctl", "-w", "net.ipv4.ip_forward=1"]
    if aspect == "way":
        route = next(each for each in ways(topology, host) if fact.aspect == f"way to {each.destination}")
        device = devices.get(route.port)
        if device is None:
            return None
        return ["sh", "-c", REROUTE, "way", str(route.destination), str(route.via), device]
    device = devices.get(which)
    if device is None:
        return None
    if aspect == "link":
        return ["ip", "link", "set", "dev", device, "up"]
    if aspect == "mtu":
        return ["ip", "link", "set", "dev", device, "mtu", fact.wanted]
    if aspect == "address":
        entry = next(each for each in survey["interfaces"] if each["ifname"] == device)
        stale = [str(each) for each in _addresses(entry) if str(each) != fact.wanted]
        return ["sh", "-c", READDRESS, "address", device, fact.wanted, *stale]
    return None


def by_hand(fact: Fact) -> str:
    """What a person has to do where there is no command for it."""
    kind, _, host = fact.key.partition(" ")
    if kind == "agent":
        return f"look whether {host} runs, has its role and a way to Systems Manager; then reboot it"
    if fact.aspect == "tools":
        return f"on {host}: dnf install -y {PACKAGES}"
    return f"attach the interface to {host} again, or end the instance and call repair"
