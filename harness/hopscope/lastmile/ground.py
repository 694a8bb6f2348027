"""What a diagnosis is about: the two ends of a tunnel, what lies behind them and between them, and the probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hopscope.errors import UsageError
from hopscope.model.laid import Laid
from hopscope.model.topology import Topology

PROBE_PORT = 5998
SMALL = 84
TCP_BYTES = 20_000


@dataclass(frozen=True)
class Lan:
    """A host behind an end: its address and device, and the end's device that faces it."""

    host: str
    device: str
    address: str
    facing: str
    network: str


@dataclass(frozen=True)
class Side:
    """One end of the tunnel."""

    host: str
    device: str
    inner: str
    outer: str
    underlay: str
    lan: Lan | None


@dataclass(frozen=True)
class Point:
    """A place where a tap can see a packet: a device of a host, going ``out`` or coming ``in``."""

    host: str
    device: str
    way: str

    def __str__(self) -> str:
        return f"{self.host} {self.device} {self.way}"


@dataclass(frozen=True)
class Probe:
    """``layer`` is tunnel, lan or underlay; ``goal`` says that it has to succeed. ``there`` and ``back`` are where its
    packets and their answers are seen, in order."""

    name: str
    number: int
    layer: str
    kind: str
    size: int
    source: str
    target: str
    source_address: str
    address: str
    there: tuple[Point, ...]
    back: tuple[Point, ...]
    port: int = PROBE_PORT
    unless_established: bool = False

    @property
    def goal(self) -> bool:
        return self.layer != "underlay"

    @property
    def large(self) -> bool:
        return self.kind == "ping" and self.size > SMALL

    def document(self) -> dict[str, Any]:
        """As the agent takes it."""
        return {
            "name": self.name, "number": self.number, "kind": self.kind, "size": self.size, "target": self.address,
            "port": self.port, "bytes": TCP_BYTES if self.port == PROBE_PORT else 0,
            "source": self.source_address if self.layer == "underlay" else None,
            "unless_established": self.unless_established,
        }  # fmt: skip


@dataclass(frozen=True)
class Ground:
    sides: tuple[Side, Side]
    port: int
    protocol: str
    server: str
    between: tuple[Point, ...]
    """Points of the underlay from the first side to the second."""
    hosts: tuple[str, ...]
    rtt_s: float
    routes: tuple[tuple[str, str, str, str], ...] = ()
    """Host, network, next hop and device of every route that the underlay and the LANs need."""

    def side(self, host: str) -> Side | None:
        return next((side for side in self.sides if side.host == host), None)

    def other(self, host: str) -> Side:
        first, second = self.sides
        return second if first.host == host else first

    def probes(self, mtu: int, base: int = 100) -> list[Probe]:
        """Small and large ping and TCP, each way: through the tunnel, from LAN to LAN, and on the underlay.

        ``base`` is another one for each look, so that connection tracking takes nothing for what it knows.
        """
        found: list[Probe] = []
        for near, far in (self.sides, self.sides[::-1]):
            through = (Point(near.host, near.device, "out"), Point(far.host, far.device, "in"))
            self._add(found, "tunnel", near.host, far.host, near.inner, far.inner, through, mtu, base)
            if near.lan and far.lan:
                path = (
                    Point(near.lan.host, near.lan.device, "out"), Point(near.host, near.lan.facing, "in"), *through,
                    Point(far.host, far.lan.facing, "out"), Point(far.lan.host, far.lan.device, "in"),
                )  # fmt: skip
                self._add(found, "lan", near.lan.host, far.lan.host, near.lan.address, far.lan.address, path, mtu, base)
            under = self.between if near is self.sides[0] else _turned(self.between)
            self._add(found, "underlay", near.host, far.host, near.outer, far.outer, under, 1500, base)
            if far.host == self.server and self.protocol == "tcp":
                for kind in ("tcp", "tls"):
                    found.append(
                        Probe(
                            f"{near.host} to {far.host} underlay {'transport' if kind == 'tcp' else 'tls'}",
                            base + len(found), "underlay", kind, 0, near.host, far.host, near.outer, far.outer,
                            under, _turned(under), self.port, True,
                        )
                    )  # fmt: skip
        return found

    @staticmethod
    def _add(
        found: list[Probe], layer: str, source: str, target: str, own: str, address: str, path: tuple[Point, ...],
        mtu: int, base: int,
    ) -> None:  # fmt: skip
        for name, kind, size in (("small", "ping", SMALL), ("large", "ping", mtu), ("tcp", "tcp", 0)):
            title = f"{source} to {target} " + (name if layer == "tunnel" else f"{layer} {name}")
            number = base + len(found)
            found.append(Probe(title, number, layer, kind, size, source, target, own, address, path, _turned(path)))

    def lookups(self, host: str) -> list[dict[str, str]]:
        """Questions for the host's own routing: which way out, and what becomes of what comes in."""
        side = self.side(host)
        if side is None:
            for each in self.sides:
                if each.lan and each.lan.host == host and (far := self.other(each.host).lan):
                    return [
                        {"name": "far lan", "to": far.address},
                        {"name": "far lan, as oneself", "to": far.address, "from": each.lan.address},
                    ]
            first, second = self.sides
            return [{"name": f"to {each.host}", "to": each.outer} for each in (first, second)]
        other = self.other(host)
        asked = [
            {"name": "peer", "to": other.inner},
            {"name": "peer outer", "to": other.outer},
            {"name": "peer, as oneself", "to": other.inner, "from": side.inner},
            {"name": "in", "to": side.inner, "from": other.inner, "iif": side.device},
        ]
        if side.lan and other.lan:
            asked += [
                {"name": "far lan", "to": other.lan.address},
                {"name": "near lan", "to": side.lan.address},
                {"name": "forward out", "to": other.lan.address, "from": side.lan.address, "iif": side.lan.facing},
                {"name": "forward in", "to": side.lan.address, "from": other.lan.address, "iif": side.device},
            ]
        return asked


def _turned(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple(Point(each.host, each.device, "in" if each.way == "out" else "out") for each in reversed(points))


def ground(topology: Topology, laid: Laid) -> Ground:
    """UsageError where the inner addresses are IPv6 alone: these probes speak IPv4."""
    sides = []
    for end in laid.ends:
        inner = end.inner_of(4)
        if inner is None or end.outer.version != 4:
            raise UsageError(f"the last mile is probed by IPv4, and {end.host} has no such address in the tunnel")
        lan = None
        if end.behind:
            link = topology.link_between(end.host, end.behind[0])
            facing, port = (link.a, link.b) if link.a.host == end.host else (link.b, link.a)
            if (address := port.address(4)) is not None:
                network = next(str(each) for each in link.subnets if each.version == 4)
                lan = Lan(port.host, port.name, str(address), facing.name, network)
        sides.append(Side(end.host, end.device, str(inner), str(end.outer), end.underlay.name, lan))
    points: list[Point] = []
    at = laid.ends[0].host
    for link in laid.links:
        near, far = (link.a, link.b) if link.a.host == at else (link.b, link.a)
        points += [Point(near.host, near.name, "out"), Point(far.host, far.name, "in")]
        at = far.host
    lans = [side.lan.host for side in sides if side.lan]
    hosts = dict.fromkeys([side.host for side in sides] + [point.host for point in points] + lans)
    routes = tuple((each.host, str(each.destination), str(each.via), each.port) for each in topology.routes())
    rtt_s = sum(link.impairment.rtt_ms for link in laid.links) / 1e3
    return Ground(
        (sides[0], sides[1]), laid.transport.port, laid.transport.protocol, laid.server, tuple(points), tuple(hosts),
        rtt_s, routes,
    )  # fmt: skip
