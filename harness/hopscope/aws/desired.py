"""What a chain on EC2 should be like, as facts: pure, from a topology alone.

A fact is one aspect of one thing: ``("eni clientnic:eth0", "source/dest check")`` should be ``off``. Values are text,
in which other things stand by their keys. The same facts build a stack (nothing is there yet), find it, audit and
repair it. What a fact is good for is said by its effect: what happens to a test when it does not hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Interface, IPv4Network

from hopscope.errors import UsageError
from hopscope.model.topology import Link, Port, Topology

EXISTS = "exists"
ANYWHERE = "0.0.0.0/0"
RESERVED = 4
"""Addresses at the start of each subnet that AWS keeps for itself, with the network's own."""
LARGEST_VPC = 16
RUN = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
"""Names of runs: they become names of buckets and roles."""
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
TAG = "hopscope:"
BYPASS = "traffic goes past {box} and nothing is tested"


@dataclass(frozen=True)
class Fact:
    """``key`` and ``aspect`` say of what, ``wanted`` what it should be, ``effect`` what happens where it is not."""

    key: str
    aspect: str
    wanted: str
    effect: str

    @property
    def kind(self) -> str:
        return self.key.partition(" ")[0]

    @property
    def place(self) -> str:
        return f"{self.key}: {self.aspect}"


@dataclass(frozen=True)
class Request:
    """What was asked for. ``hours`` is when everything ends by itself; ``types`` are instance types by host."""

    run: str
    owner: str
    expires: datetime
    instance_type: str = "c6i.large"
    types: Mapping[str, str] = field(default_factory=dict)
    image: str = IMAGE

    def type_of(self, host: str) -> str:
        return self.types.get(host, self.instance_type)

    @property
    def tags(self) -> dict[str, str]:
        return {
            f"{TAG}run": self.run,
            f"{TAG}owner": self.owner,
            f"{TAG}expires": self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @property
    def minutes_left(self) -> int:
        return max(5, math.ceil((self.expires - datetime.now(UTC)) / timedelta(minutes=1)))


def legal(topology: Topology) -> Topology:
    """The topology with addresses that AWS can give: reserved ones are moved up behind the reserved."""
    moved: dict[str, Port] = {}
    for link in topology.links:
        network(link)
        taken = {address.ip for port in link.ports for address in port.addresses}
        for port in link.ports:
            addresses = []
            for address in port.addresses:
                if not isinstance(address, IPv4Interface):
                    continue
                ip = address.ip
                while int(ip) - int(address.network.network_address) < RESERVED or (ip != address.ip and ip in taken):
                    ip += RESERVED
                taken.add(ip)
                addresses.append(IPv4Interface(f"{ip}/{address.network.prefixlen}"))
            moved[port.key] = port.model_copy(update={"addresses": tuple(addresses)})
    return with_ports(topology, moved)


def with_ports(topology: Topology, ports: Mapping[str, Port]) -> Topology:
    """The topology with other ports by their keys."""
    links = tuple(link.model_copy(update={"a": ports[link.a.key], "b": ports[link.b.key]}) for link in topology.links)
    hosts = tuple(
        host.model_copy(update={"ports": tuple(ports[port.key] for port in host.ports)}) for host in topology.hosts
    )
    return topology.model_copy(update={"links": links, "hosts": hosts})


def network(link: Link) -> IPv4Network:
    """The one IPv4 subnet of a link. UsageError where AWS could not have it."""
    found = [subnet for subnet in link.subnets if isinstance(subnet, IPv4Network)]
    if len(found) != 1 or not 16 <= found[0].prefixlen <= 28:
        raise UsageError(f"link {link.name} must have one IPv4 subnet from /16 to /28 to be one of EC2")
    return found[0]


def vpc_range(topology: Topology) -> IPv4Network:
    """The smallest network with all subnets in it."""
    subnets = [network(link) for link in topology.links]
    whole = subnets[0]
    while not all(subnet.subnet_of(whole) for subnet in subnets):
        if whole.prefixlen <= LARGEST_VPC:
            raise UsageError(
                f"the subnets of topology {topology.name} are in no common /{LARGEST_VPC}, as a VPC's must be"
            )
        whole = whole.supernet()
    return whole


def subnet_key(link: Link) -> str:
    return f"subnet {network(link)}"


def table_key(link: Link) -> str:
    return f"table {network(link)}"


def eni_key(port: Port | str) -> str:
    return f"eni {port if isinstance(port, str) else port.key}"


def rows(topology: Topology) -> dict[tuple[str, str], Port]:
    """By route table and destination, the port that packets have to go to. Both directions of every flow, and always
    the interface that faces the subnet of the table."""
    found: dict[tuple[str, str], Port] = {}
    for route in topology.routes():
        if isinstance(route.destination, IPv4Network):
            port = topology.host(route.host).port(route.port)
            found[table_key(topology.link_of(port)), str(route.destination)] = topology.neighbour(port)
    return found


def router(subnet: IPv4Network) -> str:
    """The address of the VPC's router in a subnet: hosts send to it, and its table says to which interface it goes."""
    return str(subnet[1])


def guest_routes(topology: Topology, host: str) -> list[tuple[str, str, str]]:
    """For a host with several interfaces: destination, subnet by which it goes out, and the router there."""
    if len(topology.host(host).ports) < 2:
        return []
    subnets = {port.name: network(topology.link_of(port)) for port in topology.host(host).ports}
    return [
        (str(route.destination), str(subnets[route.port]), router(subnets[route.port]))
        for route in topology.routes()
        if route.host == host and route.destination.version == 4
    ]


def rules(topology: Topology) -> dict[str, str]:
    """The three rules that the security group needs, by name. All are needed: default is to deny."""
    whole = vpc_range(topology)
    ports = topology.service.ports
    return {
        "rule service": f"tcp {min(ports)}-{max(ports)} from {whole}",
        "rule icmp": f"icmp all from {whole}",
        "rule members": "all all from group",
    }


def facts(topology: Topology, request: Request) -> tuple[Fact, ...]:
    """Everything, in the order in which it can be made."""
    parts = (_ground(topology), _interfaces(topology), _tables(topology), _instances(topology, request))
    return tuple(each for part in parts for fact in part for each in (fact, *_tagged(fact)))


def of_others(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """What can be asked of a stack that somebody else made: how it is reached, named and paid for is theirs."""
    return tuple(
        fact
        for fact in facts
        if fact.kind not in ("role", "profile", "bucket", "address", "gateway")
        and fact.aspect not in ("tags", f"route {ANYWHERE}")
        and (fact.kind, fact.aspect) not in (("instance", EXISTS), ("eni", EXISTS), ("vpc", EXISTS))
    )


def _tagged(fact: Fact) -> Iterator[Fact]:
    if fact.aspect == EXISTS:
        yield Fact(fact.key, "tags", "run, owner, expires", "nobody knows whose it is, and it is not reaped")


def _ground(topology: Topology) -> Iterator[Fact]:
    whole = vpc_range(topology)
    yield Fact("vpc", EXISTS, str(whole), "there is nowhere to build")
    yield Fact("gateway", EXISTS, "attached to vpc", "Systems Manager does not reach the instances")
    for link in topology.links:
        yield Fact(subnet_key(link), EXISTS, str(network(link)), f"there is no link {link.name}")
    yield Fact("group", EXISTS, "in vpc", "the hosts accept nothing")
    effects = {
        "rule service": "connections to the service time out",
        "rule icmp": "ping and path MTU discovery fail: large segments vanish",
        "rule members": "what a box sends with another host's address is dropped",
    }
    for name, wanted in rules(topology).items():
        yield Fact("group", name, wanted, effects[name])
    yield Fact("role", EXISTS, "for ec2, with AmazonSSMManagedInstanceCore", "the agents cannot register")
    yield Fact("profile", EXISTS, "with role", "the agents cannot register")
    yield Fact("bucket", EXISTS, "private, expiring", "captures are fetched in pieces of 20 kB")


def _interfaces(topology: Topology) -> Iterator[Fact]:
    for link in topology.links:
        for port in link.ports:
            key = eni_key(port)
            host = topology.host(port.host)
            yield Fact(
                key, EXISTS, f"{port.address(4)} in {subnet_key(link)}", f"{port.host} is not on link {link.name}"
            )
            yield Fact(key, "groups", "group", f"{port.host} is filtered by other rules")
            if host.forwarding:
                effect = f"EC2 drops what {port.host} forwards: no connection through it"
                yield Fact(key, "source/dest check", "off", effect)


def _tables(topology: Topology) -> Iterator[Fact]:
    wanted = rows(topology)
    for link in topology.links:
        table = table_key(link)
        yield Fact(table, EXISTS, "in vpc", f"{subnet_key(link)} uses the VPC's main table: the boxes are bypassed")
        yield Fact(table, "subnet", subnet_key(link), f"{subnet_key(link)} uses another table: the boxes are bypassed")
        yield Fact(table, f"route {ANYWHERE}", "gateway", "Systems Manager does not reach the instances")
        for (of, destination), port in wanted.items():
            if of == table:
                effect = BYPASS.format(box=port.host)
                yield Fact(table, f"route {destination}", eni_key(port), effect)


def _instances(topology: Topology, request: Request) -> Iterator[Fact]:
    for host in topology.hosts:
        key = f"instance {host.name}"
        yield Fact(key, EXISTS, request.type_of(host.name), f"there is no host {host.name}")
        yield Fact(key, "state", "running", f"{host.name} answers nothing")
        enis = ", ".join(eni_key(port) for port in host.ports)
        yield Fact(key, "interfaces", enis, f"{host.name} is not on all its links")
        yield Fact(key, "metadata", "tokens required", "whoever gets a request out of it gets its credentials (IMDSv1)")
        yield Fact(f"address {host.name}", EXISTS, "allocated", f"Systems Manager does not reach {host.name}")
        yield Fact(
            f"address {host.name}", "interface", eni_key(host.ports[0]), f"Systems Manager does not reach {host.name}"
        )
