"""From what hosts are like to a topology with their own interfaces, and to everything that is wrong with them.

Pure: surveys in (see ``lab.survey``), a topology and problems out. All problems are told at once, each with its remedy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hopscope.lab.looked import TOOLS
from hopscope.model.inventory import Inventory
from hopscope.model.topology import Host, Impairment, Interface, Link, Port, Topology

Survey = Mapping[str, Any]

OLDEST_PYTHON = (3, 9)
FREE_BYTES = 1 << 30
CLOCK_NS = 1_000_000_000


@dataclass(frozen=True)
class Problem:
    """What is wrong on a host, and what mends it."""

    host: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.host}: {self.what}" + (f"; remedy: {self.remedy}" if self.remedy else "")


def unmatched(topology: Topology, inventory: Inventory) -> list[Problem]:
    """Hosts of the topology that the inventory has not, and ports that it names and the topology has not."""
    problems = [
        Problem(host.name, f"topology {topology.name} has this host, and the inventory has not")
        for host in topology.hosts
        if host.name not in inventory.hosts
    ]
    names = [link.name for link in topology.links]
    for link, middle in inventory.links.items():
        if link not in names:
            problems.append(Problem(middle.host, f"it is in the middle of {link!r}; links are {', '.join(names)}"))
        if middle.host not in inventory.hosts:
            problems.append(
                Problem(middle.host, f"the inventory has it in the middle of {link} and not among its hosts")
            )
    for name, entry in inventory.hosts.items():
        known = {port.name for host in topology.hosts if host.name == name for port in host.ports}
        problems += [
            Problem(name, f"the inventory names a port {port!r}; the topology has {', '.join(sorted(known))}")
            for port in entry.ports
            if known and port not in known
        ]
    return problems


def unready(topology: Topology, surveys: Mapping[str, Survey], clocks_ns: Mapping[str, int]) -> list[Problem]:
    """What a host lacks to be a host of a lab. ``clocks_ns`` says by how much each clock is ahead of ours."""
    problems = []
    for name, survey in surveys.items():
        problems += _lacks(name, survey)
        if abs(clocks_ns[name]) > CLOCK_NS:
            told = f"its clock is {clocks_ns[name] / 1e9:+.1f} s off this machine's"
            problems.append(Problem(name, told, "have chrony or systemd-timesyncd set it"))
        if topology.host(name).forwarding and survey["sysctls"].get("net.ipv4.ip_forward") != "1":
            problems.append(Problem(name, "its kernel does not forward", "sysctl -w net.ipv4.ip_forward=1"))
        problems += [Problem(name, f"a system under test of another session runs: {box}") for box in survey["boxes"]]
    service = surveys[topology.service.host]
    problems += [
        Problem(topology.service.host, f"TCP port {port} of the service is taken by {service['listeners'][str(port)]}")
        for port in topology.service.ports
        if str(port) in service["listeners"]
    ]
    return problems


def _lacks(name: str, survey: Survey) -> list[Problem]:
    problems = []
    if survey["uid"] != 0:
        problems.append(
            Problem(name, f"commands run as user {survey['uid']}", "sudo: true in the inventory (docs/ssh.md)")
        )
    packages = {TOOLS[tool] for tool, path in survey["tools"].items() if path is None}
    if not survey["libpcap"]:
        packages.add("tcpdump")
    if packages:
        tools = [tool for tool, path in survey["tools"].items() if path is None]
        tools += [] if survey["libpcap"] else ["libpcap"]
        line = f"apt-get install -y --no-install-recommends {' '.join(sorted(packages))}"
        problems.append(Problem(name, f"it has no {', '.join(tools)}", line))
    if tuple(int(each) for each in survey["python"].split(".")[:2]) < OLDEST_PYTHON:
        problems.append(Problem(name, f"its Python is {survey['python']}", "Python 3.9 or later, and python: its path"))
    if survey["free_bytes"] < FREE_BYTES:
        problems.append(
            Problem(name, f"{survey['free_bytes'] >> 20} MiB are free", f"make {FREE_BYTES >> 30} GiB free")
        )
    return problems


def mapped(
    topology: Topology, inventory: Inventory, surveys: Mapping[str, Survey]
) -> tuple[Topology | None, list[Problem]]:
    """The topology with each port's own interface, MAC, MTU and addresses, and without impairments but those of links
    with a box in the middle: what other links do is theirs, and measured. None where a port was not found."""
    ports: dict[str, Port] = {}
    problems: list[Problem] = []
    for port in topology.ports:
        found = _interface(port, inventory.hosts[port.host].ports.get(port.name), surveys[port.host], problems)
        if found is not None:
            ports[port.key] = found
    if len(ports) < len(topology.ports):
        return None, problems
    links = tuple(_link(link, ports, link.name in inventory.links) for link in topology.links)
    hosts = tuple(_host(host, ports) for host in topology.hosts)
    return topology.model_copy(update={"links": links, "hosts": hosts}), problems


def _link(link: Link, ports: Mapping[str, Port], ours: bool) -> Link:
    a, b = ports[link.a.key], ports[link.b.key]
    return link.model_copy(
        update={"a": a, "b": b, "mtu": min(a.mtu, b.mtu), "impairment": link.impairment if ours else Impairment()}
    )


def _host(host: Host, ports: Mapping[str, Port]) -> Host:
    return host.model_copy(update={"ports": tuple(ports[port.key] for port in host.ports)})


def _interface(port: Port, given: str | None, survey: Survey, problems: list[Problem]) -> Port | None:
    """The interface of a port: by its name or MAC where the inventory says so, else by the port's subnets."""
    entries = [entry for entry in survey["interfaces"] if entry.get("ifname") != "lo"]
    if given is not None:
        chosen = [entry for entry in entries if given.lower() in (entry["ifname"].lower(), entry.get("address", ""))]
        wanted = f"{given!r} (port {port.name})"
    else:
        subnets = {address.network for address in port.addresses}
        chosen = [entry for entry in entries if any(each.network in subnets for each in _addresses(entry))]
        wanted = f"in {', '.join(map(str, subnets))} (port {port.name})"
    if len(chosen) != 1:
        there = ", ".join(f"{each['ifname']} {' '.join(map(str, _addresses(each)))}".strip() for each in entries)
        many = f"{len(chosen)} interfaces" if chosen else "no interface"
        remedy = f"ports: {{{port.name}: NAME-OR-MAC}} in the inventory, or give it its address"
        problems.append(Problem(port.host, f"it has {many} {wanted}; there are: {there or 'none'}", remedy))
        return None
    entry = chosen[0]
    if "UP" not in entry.get("flags", ()):
        problems.append(Problem(port.host, f"{entry['ifname']} is down", f"ip link set dev {entry['ifname']} up"))
    addresses = _of_the_port(port, entry, problems)
    return port.model_copy(
        update={"name": entry["ifname"], "mac": entry["address"], "mtu": entry["mtu"], "addresses": tuple(addresses)}
    )


def _of_the_port(port: Port, entry: Mapping[str, Any], problems: list[Problem]) -> list[Interface]:
    """One address for each of the port's: a second one in a subnet is stale, and nobody could say which counts."""
    found = []
    for wanted in port.addresses:
        same = [each for each in _addresses(entry) if each.version == wanted.version]
        same = [each for each in same if each.network == wanted.network] or same
        if len(same) > 1 and wanted in same:
            stale = " and ".join(str(each) for each in same if each != wanted)
            remedy = f"ip address del {stale} dev {entry['ifname']}"
            problems.append(
                Problem(port.host, f"{entry['ifname']} has a stale address beside {wanted}: {stale}", remedy)
            )
        elif len(same) != 1:
            told = ", ".join(map(str, same)) or "none"
            problems.append(Problem(port.host, f"{entry['ifname']} must have one address like {wanted}; it has {told}"))
            continue
        found.append(wanted if wanted in same else same[0])
    return found


def _addresses(entry: Mapping[str, Any]) -> list[Interface]:
    """Without link-local ones, which every interface has."""
    listed = entry.get("addr_info", ())
    found = [ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}") for each in listed if "local" in each]
    return [each for each in found if not each.is_link_local]


def misrouted(
    topology: Topology, ways: Mapping[tuple[str, str], Mapping[str, Any]], *, routed: bool = False
) -> list[Problem]:
    """Where a host does not send packets as declared. ``ways`` is what ``ip -json route get`` says, by host and
    address. Where the network has routers of its own (``routed``), the first address of a subnet will do as well."""
    problems = []
    for host, address, via, port in destinations(topology):
        way = ways.get((host, address), {})
        seen = (way.get("gateway", "its own link" if way else "nowhere"), way.get("dev", "none"))
        routers = {str(each.network[1]) for each in topology.host(host).port(port).addresses} if routed else set()
        if seen != (via, port) and not (seen[1] == port and seen[0] in routers):
            remedy = f"ip route replace {address}/32 via {via} dev {port}"
            told = f"packets to {address} leave by way of {seen[0]} dev {seen[1]}, not {via} dev {port}"
            problems.append(Problem(host, told, remedy))
    return problems


def destinations(topology: Topology) -> Iterable[tuple[str, str, str, str]]:
    """Host, an address of each subnet that it is not on, and next hop and port as declared: both directions of every
    flow, on every box in between."""
    for route in topology.routes():
        for port in topology.ports:
            for address in port.addresses:
                if address.ip in route.destination:
                    yield route.host, str(address.ip), str(route.via), route.port
