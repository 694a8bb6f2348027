"""Hosts, their ports and the links between them, as declared: frozen, without I/O.

Addresses of both families are held; what is derived (routes, paths, neighbours) is computed from the links alone, so
a lab that is built and hosts that are found are described by the same object.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hopscope.errors import UsageError
from hopscope.model.sut import Box, Sut

Interface: TypeAlias = IPv4Interface | IPv6Interface
Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

#: Longest interface name that Linux takes (IFNAMSIZ is 16 with its closing zero).
MAX_INTERFACE_NAME = 15

DEFAULT_SERVICE_PORTS = (8080, 8081, 8082, 8083)


class Role(StrEnum):
    """What a host is in the chain. ``router`` forwards and is nobody's subject; ``host`` is anything else."""

    CLIENT = "client"
    CLIENTNIC = "clientnic"
    SERVERNIC = "servernic"
    SERVER = "server"
    ROUTER = "router"
    HOST = "host"

    @property
    def forwards(self) -> bool:
        return self in (Role.CLIENTNIC, Role.SERVERNIC, Role.ROUTER)


class Impairment(BaseModel):
    """What a link does to packets on their way, between its two ports.

    ``rtt_ms`` is the whole round trip that the link adds, half in each direction; ``loss`` and ``reorder`` are
    probabilities per packet and direction; a reordered packet is delayed by ``reorder_ms`` more than the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rtt_ms: float = Field(default=0.0, ge=0, le=60_000, allow_inf_nan=False)
    loss: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    reorder: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    reorder_ms: float = Field(default=1.0, ge=0, le=60_000, allow_inf_nan=False)

    @property
    def active(self) -> bool:
        return self.rtt_ms > 0 or self.loss > 0 or self.reorder > 0


def stable_mac(host: str, port: str) -> str:
    """A locally administered address that depends on the two names only, so that captures of two runs compare."""
    digest = hashlib.sha256(f"{host}:{port}".encode()).digest()
    return ":".join(["02", *(f"{octet:02x}" for octet in digest[:5])])


class Port(BaseModel):
    """One interface of one host. ``name`` is the interface's name inside that host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    name: str = Field(min_length=1, max_length=MAX_INTERFACE_NAME)
    addresses: tuple[Interface, ...] = ()
    mac: str = Field(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")
    mtu: int = Field(default=1500, ge=68, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _mac_from_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "mac" not in data and {"host", "name"} <= data.keys():
            return data | {"mac": stable_mac(str(data["host"]), str(data["name"]))}
        return data

    @property
    def key(self) -> str:
        """As topologies write it: ``client:eth0``."""
        return f"{self.host}:{self.name}"

    @property
    def tap(self) -> str:
        """As capture files are named: ``client-eth0``."""
        return f"{self.host}-{self.name}"

    def address(self, version: int = 4) -> Address | None:
        """The first address of a family (4 or 6), or None."""
        return next((each.ip for each in self.addresses if each.version == version), None)


class Link(BaseModel):
    """A point-to-point Ethernet link between two ports, with what it does to packets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: Port
    b: Port
    impairment: Impairment = Impairment()
    mtu: int = Field(default=1500, ge=68, le=65535)

    @property
    def name(self) -> str:
        return f"{self.a.key}--{self.b.key}"

    @property
    def ports(self) -> tuple[Port, Port]:
        return (self.a, self.b)

    @property
    def subnets(self) -> tuple[Network, ...]:
        """The networks of the link, in the order of its addresses."""
        return tuple(dict.fromkeys(each.network for port in self.ports for each in port.addresses))


class Host(BaseModel):
    """A host. ``forwarding`` says whether its kernel routes between its ports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role = Role.HOST
    forwarding: bool
    ports: tuple[Port, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _forwarding_from_role(cls, data: Any) -> Any:
        if isinstance(data, dict) and "forwarding" not in data:
            role = data.get("role", Role.HOST)
            return data | {"forwarding": role in set(Role) and Role(role).forwards}
        return data

    def port(self, name: str) -> Port:
        found = next((port for port in self.ports if port.name == name), None)
        if found is None:
            raise UsageError(f"no port {name!r}{suggestion(name, [p.name for p in self.ports])}", host=self.name)
        return found


class Route(BaseModel):
    """``destination`` is reached from ``host`` through interface ``port`` by way of ``via``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    destination: IPv4Network | IPv6Network
    via: IPv4Address | IPv6Address
    port: str


class Service(BaseModel):
    """Where the traffic goes: TCP ports of one host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "server"
    ports: tuple[int, ...] = DEFAULT_SERVICE_PORTS


class Topology(BaseModel):
    """The declared whole. Build one with ``hopscope.model.document``, which validates what it says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    service: Service = Service()
    budgets: Mapping[str, float] = Field(default_factory=dict)
    """Limits in ms by metric (ttfb, send_unlock, fct, server_gap), for checks that name none of their own."""
    sut: str = "kernel"
    suts: Mapping[str, Sut] = Field(default_factory=dict)

    # -- looking up -------------------------------------------------------------------------------------------------

    @property
    def ports(self) -> tuple[Port, ...]:
        """Every port, in the order of the links."""
        return tuple(port for link in self.links for port in link.ports)

    def host(self, name: str) -> Host:
        found = next((host for host in self.hosts if host.name == name), None)
        if found is None:
            raise UsageError(f"topology {self.name} has no host {name!r}{suggestion(name, self._host_names())}")
        return found

    def role(self, role: Role | str) -> Host:
        """The one host of a role. UsageError when there is none, or more than one."""
        found = [host for host in self.hosts if host.role == role]
        if len(found) != 1:
            have = ", ".join(host.name for host in found) or "none"
            raise UsageError(
                f"topology {self.name} needs exactly one host of role {str(role)!r} for this; it has {have}"
            )
        return found[0]

    def port(self, key: str) -> Port:
        """The port written ``host:interface``."""
        host, _, name = key.partition(":")
        return self.host(host).port(name)

    def link_of(self, port: Port | str) -> Link:
        key = port if isinstance(port, str) else port.key
        for link in self.links:
            if key in (link.a.key, link.b.key):
                return link
        raise UsageError(f"no link ends at {key!r}{suggestion(key, [each.key for each in self.ports])}")

    def link_between(self, a: str, b: str) -> Link:
        """The first link between two hosts."""
        for link in self.links:
            if {link.a.host, link.b.host} == {self.host(a).name, self.host(b).name}:
                return link
        raise UsageError(f"topology {self.name} has no link between {a} and {b}")

    def neighbour(self, port: Port | str) -> Port:
        """The port at the other end of the link."""
        link = self.link_of(port)
        key = port if isinstance(port, str) else port.key
        return link.b if link.a.key == key else link.a

    # -- paths and routes -------------------------------------------------------------------------------------------

    def path(self, from_host: str, to_host: str) -> tuple[Link, ...]:
        """Links of the shortest way, through forwarding hosts only; ties go to the link declared first.

        UsageError when there is no way. The way from a host to itself is empty.
        """
        self.host(to_host)
        steps = self._steps(self.host(from_host).name)
        if to_host not in steps:
            raise UsageError(f"topology {self.name} has no way from {from_host} to {to_host} through forwarding hosts")
        links: list[Link] = []
        at = to_host
        while (step := steps[at]) is not None:
            links.append(step)
            at = step.a.host if step.b.host == at else step.b.host
        return tuple(reversed(links))

    def rtt_ms(self, from_host: str, to_host: str) -> float:
        """The round trip that the links of the path add, as declared."""
        return sum(link.impairment.rtt_ms for link in self.path(from_host, to_host))

    def routes(self) -> tuple[Route, ...]:
        """What every host needs to reach every subnet it is not on, by the shortest way."""
        found: dict[tuple[str, Network], Route] = {}
        subnets = list(dict.fromkeys(subnet for link in self.links for subnet in link.subnets))
        for host in self.hosts:
            own = {each.network for port in host.ports for each in port.addresses}
            reached = self._steps(host.name)
            for subnet in subnets:
                if subnet in own:
                    continue
                ends = [name for name in reached if subnet in self._networks_of(name)]
                route = next((each for end in ends if (each := self._route(host, end, subnet))), None)
                if route is not None:
                    found[host.name, subnet] = route
        return tuple(found.values())

    def _route(self, host: Host, end: str, subnet: Network) -> Route | None:
        first = self.path(host.name, end)[0]
        mine, theirs = (first.a, first.b) if first.a.host == host.name else (first.b, first.a)
        via = theirs.address(subnet.version)
        if via is None:
            return None
        return Route(host=host.name, destination=subnet, via=via, port=mine.name)

    def _networks_of(self, host: str) -> set[Network]:
        return {each.network for port in self.host(host).ports for each in port.addresses}

    def _steps(self, start: str) -> dict[str, Link | None]:
        """Breadth first: each reachable host, nearest first, with the link by which it was reached."""
        steps: dict[str, Link | None] = {start: None}
        queue = deque([start])
        while queue:
            at = queue.popleft()
            if at != start and not self.host(at).forwarding:
                continue
            for link in self._links_at(at):
                other = link.b.host if link.a.host == at else link.a.host
                if other not in steps:
                    steps[other] = link
                    queue.append(other)
        return steps

    def _links_at(self, host: str) -> Iterator[Link]:
        return (link for link in self.links if host in (link.a.host, link.b.host))

    # -- the WAN leg ------------------------------------------------------------------------------------------------

    @property
    def wan(self) -> Link:
        """The link with the longest round trip; of links without one, ClientNIC–ServerNIC, or the only link."""
        impaired = [link for link in self.links if link.impairment.active]
        if impaired:
            return max(impaired, key=lambda link: link.impairment.rtt_ms)
        roles = {host.name: host.role for host in self.hosts}
        for link in self.links:
            if {roles[link.a.host], roles[link.b.host]} == {Role.CLIENTNIC, Role.SERVERNIC}:
                return link
        if len(self.links) == 1:
            return self.links[0]
        raise UsageError(f"topology {self.name} has no link that could be the WAN: give one of them an rtt_ms")

    def with_rtt(self, milliseconds: float, link: Link | None = None) -> Self:
        """A copy in which a link (the WAN by default) adds this round trip; its loss and reordering stay."""
        wan = link or self.wan
        try:
            impairment = Impairment(**(wan.impairment.model_dump() | {"rtt_ms": milliseconds}))
        except ValidationError:
            raise UsageError(f"a round trip of {milliseconds} ms is not possible: 0 to 60000") from None
        links = tuple(
            each.model_copy(update={"impairment": impairment}) if each.name == wan.name else each for each in self.links
        )
        return self.model_copy(update={"links": links})

    # -- systems under test -----------------------------------------------------------------------------------------

    def boxes(self, sut: Sut) -> dict[str, Box]:
        """The boxes of a SUT by host name. A box is keyed by a host's name, or by a role that one host has."""
        names = self._host_names()
        return {(key if key in names else self._box_host(sut, key)): box for key, box in sut.boxes.items()}

    def _box_host(self, sut: Sut, key: str) -> str:
        if key not in set(Role):
            near = suggestion(key, [*self._host_names(), *Role])
            raise UsageError(f"SUT {sut.name} is for {key!r}, which is no host or role of topology {self.name}{near}")
        return self.role(key).name

    def _host_names(self) -> list[str]:
        return [host.name for host in self.hosts]

    # -- as a document ----------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Plain data in the form of a topology's YAML; reading it back gives an equal Topology."""
        return {
            "name": self.name,
            "description": self.description,
            "hosts": {host.name: {"role": str(host.role), "forwarding": host.forwarding} for host in self.hosts},
            "links": [_link_document(link) for link in self.links],
            "service": {"host": self.service.host, "ports": list(self.service.ports)},
            "budgets": {f"{metric}_ms": limit for metric, limit in self.budgets.items()},
            "sut": self.sut,
            "suts": {name: _without_name(sut.document()) for name, sut in self.suts.items()},
        }


def _link_document(link: Link) -> dict[str, Any]:
    return {
        "endpoints": [port.key for port in link.ports],
        "subnets": [str(subnet) for subnet in link.subnets],
        "addresses": [[str(each.ip) for each in port.addresses] for port in link.ports],
        "macs": [port.mac for port in link.ports],
        "mtu": link.mtu,
    } | link.impairment.model_dump()


def _without_name(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "name"}


def suggestion(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` for the nearest known word, or what there is when nothing is near."""
    known = [str(each) for each in known]
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f", did you mean {near[0]!r}?"
    return f"; there is {', '.join(known)}" if known else ""
