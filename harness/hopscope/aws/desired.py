"""What a chain on EC2 should be like, as facts: pure, from a topology alone.

A fact is one aspect of one thing: ``("eni clientnic:eth0", "source/dest check")`` should be ``off``. Values are text,
in which other things stand by their keys. The same facts build a stack (nothing is there yet), find it, audit and
repair it. What a fact is good for is said by its effect: what happens to a test when it does not hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
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
MOST_RANGES = 5
PRIVATE = tuple(IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""Ranges that are added to a VPC have to be of the same private network as its first."""
RUN = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
"""Names of runs: they become names of buckets and roles."""
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
TAG = "hopscope:"
BYPASS = "traffic goes past {box} and nothing is tested"
ADDRESSES, ENDPOINTS = "addresses", "endpoints"
"""How hosts reach Systems Manager: by public addresses, or by endpoints within a VPC that has no way out."""
INTERFACES = ("ssm", "ssmmessages", "ec2messages")
ACCESS_PREFIX = 28
NO_AGENT = "Systems Manager does not reach {whom}"


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
    access: str = ADDRESSES

    def type_of(self, host: str) -> str:
        return self.types.get(host, self.instance_type)

    @property
    def tags(self) -> dict[str, str]:
        return {
            f"{TAG}run": self.run,
            f"{TAG}owner": self.owner,
            f"{TAG}expires": self.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            f"{TAG}access": self.access,
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


def vpc_ranges(topology: Topology, *, access: bool = False) -> tuple[IPv4Network, ...]:
    """The smallest networks with all subnets in them, and with ``access_subnet`` if that is wanted: the VPC's first,
    and what is added to it. UsageError where no VPC could have them."""
    found: list[IPv4Network] = []
    for subnet in map(network, topology.links):
        for place, whole in enumerate(found):
            common = whole
            while not subnet.subnet_of(common) and common.prefixlen > LARGEST_VPC:
                common = common.supernet()
            if subnet.subnet_of(common):
                found[place] = common
                break
        else:
            found.append(subnet)
    where = {next((each for each in PRIVATE if whole.subnet_of(each)), None) for whole in found}
    if len(found) > MOST_RANGES or (len(found) > 1 and len(where) > 1):
        raise UsageError(
            f"the subnets of topology {topology.name} are in no common /{LARGEST_VPC}, and not in {MOST_RANGES} of one "
            "private network either, as a VPC's must be"
        )
    if access and _free(topology, found) is None:
        if found[0].prefixlen <= LARGEST_VPC:
            raise UsageError(f"topology {topology.name} leaves no room for a subnet of endpoints in {found[0]}")
        found[0] = found[0].supernet()
    return tuple(found)


def access_subnet(topology: Topology) -> IPv4Network:
    """Where the endpoints are: on no link, as rows of route tables send what goes to those through the boxes."""
    free = _free(topology, vpc_ranges(topology, access=True))
    assert free is not None
    return free


def _free(topology: Topology, ranges: Iterable[IPv4Network]) -> IPv4Network | None:
    taken = [network(link) for link in topology.links]
    candidates = (each for whole in ranges for each in whole.subnets(new_prefix=max(ACCESS_PREFIX, whole.prefixlen)))
    return next((each for each in candidates if not any(each.overlaps(other) for other in taken)), None)


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
    """The three rules that the security group needs, by name. All are needed: default is to deny. Those of ranges that
    were added to the VPC have the range in their name."""
    first, *added = vpc_ranges(topology)
    ports = topology.service.ports
    found = {}
    for suffix, whole in (("", first), *((f" {each}", each) for each in added)):
        found[f"rule service{suffix}"] = f"tcp {min(ports)}-{max(ports)} from {whole}"
        found[f"rule icmp{suffix}"] = f"icmp all from {whole}"
    return {**found, "rule members": "all all from group"}


def facts(topology: Topology, request: Request) -> tuple[Fact, ...]:
    """Everything, in the order in which it can be made."""
    private = request.access == ENDPOINTS
    parts = (
        _ground(topology, private),
        _interfaces(topology),
        _tables(topology, private),
        _endpoints(topology) if private else (),
        _instances(topology, request),
    )
    return tuple(each for part in parts for fact in part for each in (fact, *_tagged(fact)))


def of_others(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """What can be asked of a stack that somebody else made: how it is reached, named and paid for is theirs."""
    return tuple(
        fact
        for fact in facts
        if fact.kind not in ("vpc", "role", "profile", "bucket", "address", "gateway", "endpoint")
        and fact.aspect not in ("tags", f"route {ANYWHERE}")
        and (fact.kind, fact.aspect) not in (("instance", EXISTS), ("eni", EXISTS))
    )


def _tagged(fact: Fact) -> Iterator[Fact]:
    if fact.aspect == EXISTS:
        yield Fact(fact.key, "tags", "run, owner, expires", "nobody knows whose it is, and it is not reaped")


def _ground(topology: Topology, private: bool) -> Iterator[Fact]:
    first, *added = vpc_ranges(topology, access=private)
    yield Fact("vpc", EXISTS, str(first), "there is nowhere to build")
    for whole in added:
        yield Fact("vpc", f"range {whole}", "associated", f"there is nowhere to build what is in {whole}")
    if private:
        yield Fact("vpc", "names", "of its own", f"the endpoints have no names: {NO_AGENT.format(whom='any host')}")
        yield Fact(
            f"subnet {access_subnet(topology)}", EXISTS, str(access_subnet(topology)), "there is no place for endpoints"
        )
    else:
        yield Fact("gateway", EXISTS, "attached to vpc", NO_AGENT.format(whom="the instances"))
    for link in topology.links:
        yield Fact(subnet_key(link), EXISTS, str(network(link)), f"there is no link {link.name}")
    yield Fact("group", EXISTS, "in vpc", "the hosts accept nothing")
    effects = {
        "service": "connections to the service time out",
        "icmp": "ping and path MTU discovery fail: large segments vanish",
        "members": "what a box sends with another host's address is dropped",
    }
    for name, wanted in rules(topology).items():
        yield Fact("group", name, wanted, effects[name.split()[1]])
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


def _tables(topology: Topology, private: bool) -> Iterator[Fact]:
    wanted = rows(topology)
    for link in topology.links:
        table = table_key(link)
        yield Fact(table, EXISTS, "in vpc", f"{subnet_key(link)} uses the VPC's main table: the boxes are bypassed")
        yield Fact(table, "subnet", subnet_key(link), f"{subnet_key(link)} uses another table: the boxes are bypassed")
        if not private:
            yield Fact(table, f"route {ANYWHERE}", "gateway", NO_AGENT.format(whom="the instances"))
        for (of, destination), port in wanted.items():
            if of == table:
                effect = BYPASS.format(box=port.host)
                yield Fact(table, f"route {destination}", eni_key(port), effect)


def _endpoints(topology: Topology) -> Iterator[Fact]:
    """Of Systems Manager, an interface each in a subnet of their own, under the names that its clients know; of S3,
    rows in the hosts' tables."""
    effect = NO_AGENT.format(whom="the instances")
    for service in INTERFACES:
        key = f"endpoint {service}"
        yield Fact(key, EXISTS, f"interface of {service}", effect)
        yield Fact(key, "subnet", f"subnet {access_subnet(topology)}", "a box or a table of a link is on the way to it")
        yield Fact(key, "groups", "group", effect)
        yield Fact(key, "names", "of the service", effect)
        yield Fact(key, "state", "available", effect)
    tables = ", ".join(sorted(map(table_key, topology.links)))
    without = "hosts install no tools, and captures are fetched in pieces of 20 kB"
    yield Fact("endpoint s3", EXISTS, "gateway of s3", without)
    yield Fact("endpoint s3", "tables", tables, without)
    yield Fact("endpoint s3", "state", "available", without)


def _instances(topology: Topology, request: Request) -> Iterator[Fact]:
    for host in topology.hosts:
        key, address = f"instance {host.name}", f"address {host.name}"
        yield Fact(key, EXISTS, request.type_of(host.name), f"there is no host {host.name}")
        yield Fact(key, "state", "running", f"{host.name} answers nothing")
        enis = ", ".join(eni_key(port) for port in host.ports)
        yield Fact(key, "interfaces", enis, f"{host.name} is not on all its links")
        yield Fact(key, "metadata", "tokens required", "whoever gets a request out of it gets its credentials (IMDSv1)")
        if request.access == ADDRESSES:
            effect = NO_AGENT.format(whom=host.name)
            yield Fact(address, EXISTS, "allocated", effect)
            yield Fact(address, "interface", eni_key(host.ports[0]), effect)
