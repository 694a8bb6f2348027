"""From what a document says to a Topology: every rule that concerns more than one field, all problems at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from hopscope.model.schema import LinkSpec, TopologySpec
from hopscope.model.strictyaml import Path
from hopscope.model.topology import (
    MAX_INTERFACE_NAME,
    Address,
    Host,
    Impairment,
    Interface,
    Link,
    Network,
    Port,
    Role,
    Service,
    Topology,
    stable_mac,
    suggestion,
)

Report = Callable[[Path, str], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]+")
_TAKEN_INTERFACES = {"lo", "all", "default", ".", ".."}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_IPV6_MIN_MTU = 1280


def build(spec: TopologySpec, report: Report) -> Topology | None:
    """The topology, or None after at least one call of ``report(path, problem)``."""
    return _Builder(spec, report).build()


@dataclass
class _Builder:
    spec: TopologySpec
    report_to: Report
    failed: bool = False
    used_ports: dict[str, Path] = field(default_factory=dict)
    used_taps: dict[str, str] = field(default_factory=dict)
    used_macs: dict[str, str] = field(default_factory=dict)
    used_addresses: dict[Address, str] = field(default_factory=dict)
    used_subnets: dict[Network, int] = field(default_factory=dict)

    def report(self, path: Path, problem: str) -> None:
        self.failed = True
        self.report_to(path, problem)

    def build(self) -> Topology | None:
        self.check_names()
        links = [self.link(index, spec) for index, spec in enumerate(self.spec.links)]
        service = self.service()
        self.check_suts()
        if self.failed or service is None:
            return None
        whole = tuple(link for link in links if link is not None)
        ports = [port for link in whole for port in link.ports]
        hosts = []
        for name in self.spec.hosts:
            own = tuple(port for port in ports if port.host == name)
            hosts.append(Host(name=name, role=self.role(name), forwarding=self.forwarding(name), ports=own))
        self.check_connected(whole)
        if self.failed:
            return None
        return Topology(
            name=self.spec.name,
            description=self.spec.description,
            hosts=tuple(hosts),
            links=whole,
            service=service,
            budgets=self.budgets(),
            sut=self.spec.sut,
            suts=self.spec.suts,
        )

    # -- hosts ------------------------------------------------------------------------------------------------------

    def check_names(self) -> None:
        rule = "letters, digits, dot, dash and underscore, at most 63, beginning with a letter or digit"
        if not _NAME.fullmatch(self.spec.name):
            self.report(("name",), f"{self.spec.name!r} is no name: {rule}")
        for name in self.spec.hosts:
            if not _NAME.fullmatch(name):
                self.report(("hosts", name), f"{name!r} is no name of a host: {rule}")

    def role(self, name: str) -> Role:
        declared = self.spec.hosts[name].role
        if declared is not None:
            return declared
        return Role(name) if name in set(Role) else Role.HOST

    def forwarding(self, name: str) -> bool:
        declared = self.spec.hosts[name].forwarding
        return self.role(name).forwards if declared is None else declared

    def check_connected(self, links: tuple[Link, ...]) -> None:
        first, *others = self.spec.hosts
        reached = {first}
        grown = True
        while grown:
            ends = [{link.a.host, link.b.host} for link in links]
            grown = any(pair & reached and not pair <= reached for pair in ends)
            reached |= {host for pair in ends if pair & reached for host in pair}
        for name in others:
            if name not in reached:
                self.report(("hosts", name), f"no link leads from {first!r} to {name!r}")

    # -- links ------------------------------------------------------------------------------------------------------

    def link(self, index: int, spec: LinkSpec) -> Link | None:
        path: Path = ("links", index)
        ends = self.endpoints((*path, "endpoints"), spec)
        subnets = self.subnets(path, index, spec)
        if ends is None or not subnets:
            return None
        names = [f"{host}:{port}" for host, port in ends]
        addresses = self.addresses(path, spec, subnets, names)
        macs = self.macs(path, spec, ends)
        if addresses is None or macs is None:
            return None
        a, b = (
            Port(host=host, name=name, addresses=own, mac=mac, mtu=spec.mtu)
            for (host, name), own, mac in zip(ends, addresses, macs, strict=True)
        )
        impairment = Impairment(rtt_ms=spec.rtt_ms, loss=spec.loss, reorder=spec.reorder, reorder_ms=spec.reorder_ms)
        return Link(a=a, b=b, impairment=impairment, mtu=spec.mtu)

    def endpoints(self, path: Path, spec: LinkSpec) -> list[tuple[str, str]] | None:
        if len(spec.endpoints) != 2:
            self.report(
                path, f'a link has two endpoints, ["HOST:INTERFACE", "HOST:INTERFACE"]; got {len(spec.endpoints)}'
            )
            return None
        ends = [self.endpoint((*path, index), text) for index, text in enumerate(spec.endpoints)]
        if ends[0] and ends[1] and ends[0][0] == ends[1][0]:
            self.report(path, f"both ends are on host {ends[0][0]!r}")
            return None
        return [end for end in ends if end] if all(ends) else None

    def endpoint(self, path: Path, text: str) -> tuple[str, str] | None:
        host, colon, name = text.partition(":")
        if not colon:
            self.report(path, f"{text!r} is no endpoint: HOST:INTERFACE")
        elif host not in self.spec.hosts:
            self.report(path, f"unknown host {host!r}{suggestion(host, self.spec.hosts)}")
        elif len(name) > MAX_INTERFACE_NAME:
            self.report(path, f"interface name {name!r} has {len(name)} characters; Linux takes {MAX_INTERFACE_NAME}")
        elif not _INTERFACE.fullmatch(name) or name in _TAKEN_INTERFACES:
            self.report(path, f"{name!r} cannot be the name of an interface")
        elif text in self.used_ports:
            self.report(path, f"port {text!r} is used twice; a port ends one link")
        elif self.used_taps.setdefault(f"{host}-{name}".lower(), text) != text:
            first = self.used_taps[f"{host}-{name}".lower()]
            self.report(path, f"captures of {text!r} and {first!r} would have one file name; rename one of them")
        else:
            self.used_ports[text] = path
            return host, name
        return None

    def subnets(self, path: Path, index: int, spec: LinkSpec) -> list[Network]:
        if (spec.subnet is None) == (spec.subnets is None):
            self.report(path, "a link needs a subnet (or a list of subnets), one of the two keys")
            return []
        given: list[tuple[Path, str]] = [((*path, "subnet"), spec.subnet or "")]
        if spec.subnets is not None:
            given = [((*path, "subnets", each), text) for each, text in enumerate(spec.subnets)]
        found = [self.subnet(where, index, text, spec.mtu) for where, text in given]
        return [each for each in found if each is not None] if all(found) else []

    def subnet(self, path: Path, index: int, text: str, mtu: int) -> Network | None:
        try:
            network = ip_network(text)
        except ValueError:
            try:
                near = f", did you mean {ip_network(text, strict=False)}?"
            except ValueError:
                near = "; a subnet is written 10.1.0.0/24"
            self.report(path, f"{text!r} is no subnet{near}")
            return None
        if network.num_addresses < 2:
            self.report(path, f"subnet {network} has no room for two ports")
        elif network.version == 6 and mtu < _IPV6_MIN_MTU:
            self.report(path, f"IPv6 needs an MTU of {_IPV6_MIN_MTU}; the link has {mtu}")
        elif over := next((each for each in self.used_subnets if _overlap(each, network)), None):
            self.report(path, f"subnet {network} overlaps {over} of links[{self.used_subnets[over]}]")
        else:
            self.used_subnets[network] = index
            return network
        return None

    def addresses(
        self, path: Path, spec: LinkSpec, subnets: list[Network], names: list[str]
    ) -> list[tuple[Interface, ...]] | None:
        if spec.addresses is None:
            given = [[str(_nth_address(subnet, index)) for subnet in subnets] for index in range(2)]
        elif len(spec.addresses) != 2:
            self.report((*path, "addresses"), f"one entry for each of the two endpoints; got {len(spec.addresses)}")
            return None
        else:
            given = [list(each) for each in spec.addresses]
        path = (*path, "addresses")
        found = [self.port_addresses((*path, index), texts, subnets, names[index]) for index, texts in enumerate(given)]
        return [each for each in found if each is not None] if None not in found else None

    def port_addresses(
        self, path: Path, texts: list[str], subnets: list[Network], port: str
    ) -> tuple[Interface, ...] | None:
        by_subnet: dict[Network, Interface] = {}
        complaints = 0
        for index, text in enumerate(texts):
            problem, subnet = self.address(text, subnets, port)
            if not problem and subnet in by_subnet:
                problem = f"a second address of {port} in {subnet}"
            if problem or subnet is None:
                complaints += 1
                self.report((*path, index), problem)
            else:
                by_subnet[subnet] = ip_interface(f"{text}/{subnet.prefixlen}")
        missing = [str(subnet) for subnet in subnets if subnet not in by_subnet]
        if missing and not complaints:
            self.report(path, f"{port} has no address in {', '.join(missing)}")
        return None if missing or complaints else tuple(by_subnet[subnet] for subnet in subnets)

    def address(self, text: str, subnets: list[Network], port: str) -> tuple[str, Network | None]:
        """What is wrong with an address ("" for nothing), and the subnet it belongs to."""
        try:
            address = ip_address(text)
        except ValueError:
            return f"{text!r} is no address; it is written without a prefix, 10.1.0.10", None
        subnet = next((each for each in subnets if address in each), None)
        if subnet is None:
            return f"{address} is outside the link's {', '.join(map(str, subnets))}", None
        if address.version == 4 and subnet.prefixlen < 31:
            if address == subnet.network_address:
                return f"{address} is the network address of {subnet}", None
            if address == subnet.broadcast_address:
                return f"{address} is the broadcast address of {subnet}", None
        if "%" in text:
            return f"{text!r} has a zone; write the address alone", None
        first = self.used_addresses.setdefault(address, port)
        if first != port:
            return f"{address} is the address of {first} already", None
        return "", subnet

    def macs(self, path: Path, spec: LinkSpec, ends: list[tuple[str, str]]) -> list[str] | None:
        if spec.macs is None:
            given = [stable_mac(host, name) for host, name in ends]
        elif len(spec.macs) != 2:
            self.report((*path, "macs"), f"one MAC for each of the two endpoints; got {len(spec.macs)}")
            return None
        else:
            given = [mac.lower() for mac in spec.macs]
        bad = False
        for index, mac in enumerate(given):
            port = ":".join(ends[index])
            problem = ""
            if not _MAC.fullmatch(mac):
                problem = f'{mac!r} is no MAC; it is written "02:00:00:00:00:01", with quotes'
            elif int(mac[:2], 16) & 1:
                problem = f"{mac} is a group address"
            elif self.used_macs.setdefault(mac, port) != port:
                problem = f"{mac} is the MAC of {self.used_macs[mac]} already"
            if problem:
                bad = True
                self.report((*path, "macs", index), problem)
        return None if bad else given

    # -- service and SUTs -------------------------------------------------------------------------------------------

    def service(self) -> Service | None:
        spec = self.spec.service
        for index, port in enumerate(spec.ports):
            if port in spec.ports[:index]:
                self.report(("service", "ports", index), f"port {port} is listed twice")
        servers = [name for name in self.spec.hosts if self.role(name) is Role.SERVER]
        host = spec.host or (servers or list(self.spec.hosts))[-1]
        if host not in self.spec.hosts:
            self.report(("service", "host"), f"unknown host {host!r}{suggestion(host, self.spec.hosts)}")
            return None
        return Service(host=host, ports=spec.ports)

    def budgets(self) -> dict[str, float]:
        given = self.spec.budgets.model_dump(exclude_none=True)
        return {name.removesuffix("_ms"): limit for name, limit in given.items()}

    def check_suts(self) -> None:
        roles = [self.role(name) for name in self.spec.hosts]
        known = [*self.spec.hosts, *dict.fromkeys(map(str, roles))]
        for name, sut in self.spec.suts.items():
            for key in sut.boxes:
                path = ("suts", name, "boxes", key)
                if key in self.spec.hosts:
                    continue
                holders = sum(role == key for role in roles)
                if holders == 0:
                    self.report(path, f"unknown host or role {key!r}{suggestion(key, dict.fromkeys(known))}")
                elif holders > 1:
                    self.report(path, f"{holders} hosts have the role {key!r}; name the host")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and (one.network_address in other or other.network_address in one)


def _nth_address(subnet: Network, index: int) -> Address:
    """The first or second address that a port may have: all of them in a /31 or /127, else after the network's own."""
    return subnet[index] if subnet.num_addresses == 2 else subnet[index + 1]
