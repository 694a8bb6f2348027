"""What one look has seen, and where each probe that failed was lost. Pure: data in, facts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from hopscope.lastmile.ground import Ground, Point, Probe

SOURCES = ("capture", "nft trace", "drop reasons")
"""Evidence that a host may have or not, beside its snapshots."""
LEAST_MTU = 1280
"""What IPv6 asks of every link (RFC 8200, section 5). A route to a tunnel with less than the device's MTU is common,
one with less than this is not."""


@dataclass(frozen=True)
class Loss:
    """Where the packets of a failing probe were seen last and should have been seen next.

    ``way`` is there or back. ``last`` is None where nothing left its source, ``next`` None where all was seen and the
    source still has no answer.
    """

    probe: Probe
    way: str
    last: Point | None
    next: Point | None
    large: bool

    @property
    def inside(self) -> str | None:
        """The host in which it was lost, if it was in one."""
        if self.last is None:
            return self.probe.source
        if self.next is None:
            return self.last.host
        return self.last.host if self.last.host == self.next.host else None

    @property
    def between(self) -> tuple[str, str] | None:
        """The hosts between which it was lost."""
        if self.last is None or self.next is None or self.last.host == self.next.host:
            return None
        return self.last.host, self.next.host

    @property
    def ends(self) -> tuple[str, str]:
        """Source and destination of the packets that were lost, as addresses. Where a request came in and no answer
        went out it may be either; it is told as the request."""
        there = (self.probe.source_address, self.probe.address)
        return there if self.way == "there" or self.turned else (there[1], there[0])

    @property
    def turned(self) -> bool:
        """The request reached its host, and no answer left that."""
        return self.way == "back" and self.next == self.probe.back[0]

    def __str__(self) -> str:
        if self.last is None:
            return f"{self.probe.name}: nothing left {self.probe.source}"
        if self.next is None:
            return f"{self.probe.name}: seen back at {self.last}, and not taken"
        what = "large segments" if self.large and self.probe.kind == "tcp" else "packets"
        return f"{self.probe.name}: {what} seen at {self.last}, not at {self.next}"


class View:
    """``reports`` are those of the agents, by host."""

    def __init__(
        self, ground: Ground, probes: tuple[Probe, ...], reports: Mapping[str, Any], blind: Mapping[str, str],
        seconds: float,
    ) -> None:  # fmt: skip
        self.ground = ground
        self.probes = probes
        self.reports = reports
        self.blind = blind
        self.seconds = seconds
        self.results: dict[str, dict[str, Any]] = {
            name: result for report in reports.values() for name, result in report["probes"].items()
        }

    # -- probes -----------------------------------------------------------------------------------------------------

    @property
    def failing(self) -> frozenset[str]:
        """Names of goal probes that failed, came there by another way than the tunnel, or that no socket but a probe's
        could have sent."""
        return frozenset(p.name for p in self.probes if p.goal and self._fails(p))

    def _fails(self, probe: Probe) -> bool:
        return not self.ok(probe) or self.bypassed(probe) or self.held_small(probe) is not None

    def bypassed(self, probe: Probe) -> bool:
        """It was answered, and a tap that lost nothing did not see it go into the tunnel, or its answer."""
        for way in ("there", "back"):
            for point in getattr(probe, way):
                side = self.ground.side(point.host)
                if side is None or point != Point(side.host, side.device, "out"):
                    continue
                blind = "capture" in self.reports[point.host]["missing"] or any(self.records(point.host, "lost"))
                if not blind and not self._seen(point, probe, way, False):
                    return True
        return False

    def held_small(self, probe: Probe) -> int | None:
        """MTU of a configured route at its source that holds this probe and is too small to be meant: other sockets
        than a probe's could not send it, and TCP crawls."""
        if not probe.large:
            return None
        route = matching(self.before(probe.source, "routes", []), probe.address)
        told = [int(each["mtu"]) for each in (route or {}).get("metrics", ()) if each.get("mtu")]
        return min((each for each in told if each < min(probe.size, LEAST_MTU)), default=None)

    def ok(self, probe: Probe) -> bool:
        return bool(self.results.get(probe.name, {}).get("ok"))

    def errors(self, probe: Probe) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.results.get(probe.name, {}).get("errors", [])
        return listed

    def losses(self) -> list[Loss]:
        """Of goal probes; those of the tunnel first."""
        return [self.locate(p) for p in self.probes if p.goal and p.name in self.failing]

    def locate(self, probe: Probe) -> Loss:
        result = self.results.get(probe.name, {})
        large = probe.large or (probe.kind == "tcp" and result.get("stage") == "transfer")
        last: Point | None = None
        for way in ("there", "back"):
            for point in getattr(probe, way):
                if point.host not in self.reports or "capture" in self.reports[point.host]["missing"]:
                    continue
                if not self._seen(point, probe, way, large and probe.kind == "tcp"):
                    return Loss(probe, way, last, point, large)
                last = point
        return Loss(probe, "back", last, None, large)

    def _seen(self, point: Point, probe: Probe, way: str, large: bool) -> bool:
        for record in self.records(point.host):
            if record.get("dev") != point.device or record["way"] != point.way:
                continue
            if probe.kind == "ping":
                if record["kind"] == ("echo" if way == "there" else "reply") and record["probe"] == probe.number:
                    return True
            elif record["kind"] == "tcp" and record["toward"] == way and record["port"] == self._port(probe):
                if large and record["large"]:
                    return True
                if not large and record["stage"] == "syn":
                    return True
        return False

    def _port(self, probe: Probe) -> int | None:
        port: int | None = self.results.get(probe.name, {}).get("port")
        return port

    # -- hosts ------------------------------------------------------------------------------------------------------

    def records(self, host: str, kind: str | None = None) -> Iterator[dict[str, Any]]:
        for record in self.reports.get(host, {}).get("captured", ()):
            if kind is None or record["kind"] == kind:
                yield record

    def before(self, host: str, source: str, default: Any = None) -> Any:
        return self.reports.get(host, {}).get("before", {}).get(source, default)

    def after(self, host: str, source: str, default: Any = None) -> Any:
        return self.reports.get(host, {}).get("after", {}).get(source, default)

    def ruleset(self, host: str) -> list[dict[str, Any]]:
        """Tables, chains and rules as ``nft -j list ruleset`` has them; empty where nft did not tell."""
        told = self.before(host, "nft")
        listed: list[dict[str, Any]] = told.get("nftables", []) if isinstance(told, dict) else []
        return listed

    def counted(self, host: str, name: str) -> int:
        """How far a counter of SNMP moved."""
        return int(self.after(host, "snmp", {}).get(name, 0)) - int(self.before(host, "snmp", {}).get(name, 0))

    def sysctl(self, host: str, key: str) -> str | None:
        value: str | None = self.before(host, "sysctl", {}).get(key)
        return value

    def lookup(self, host: str, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.before(host, "lookups", {}).get(name)
        return found

    def link(self, host: str, device: str, *, late: bool = True) -> dict[str, Any] | None:
        listed = (self.after if late else self.before)(host, "links", [])
        return next((each for each in listed if each.get("ifname") == device), None)

    def moved(self, host: str, device: str, way: str, what: str = "packets") -> int:
        """How far a counter of a device moved: ``way`` rx or tx."""
        old, new = (self.link(host, device, late=late) for late in (False, True))
        if old is None or new is None:
            return 0
        return int(new.get("stats64", {}).get(way, {}).get(what, 0)) - int(
            old.get("stats64", {}).get(way, {}).get(what, 0)
        )

    def addresses(self, host: str, device: str | None = None) -> dict[str, str]:
        """IPv4 addresses with the device that has them."""
        return {
            info["local"]: link["ifname"]
            for link in self.before(host, "links", [])
            if device in (None, link.get("ifname"))
            for info in link.get("addr_info", [])
            if info.get("family") == "inet"
        }

    def passed(self, host: str, device: str, way: str) -> int:
        """IPv4 packets of probes that the tap saw on a device."""
        kinds = ("echo", "reply", "tcp", "error", "fragment")
        return sum(
            record["n"] for record in self.records(host)
            if record["kind"] in kinds and record.get("dev") == device and record["way"] == way
        )  # fmt: skip

    def drops(self, loss: Loss, host: str) -> list[dict[str, Any]]:
        """Verdicts of nft that dropped packets of this loss on a host, or gave them to a queue and lost them."""
        ends = ("drop", "queue") if loss.inside == host else ("drop",)
        return [each for each in self.traced(loss, host) if each["verdict"] in ends]

    def traced(self, loss: Loss, host: str) -> list[dict[str, Any]]:
        """What nft's trace tells of packets of this loss on a host."""
        return [each for each in self.reports.get(host, {}).get("trace", ()) if self._is(each["packet"], loss)]

    def given_up(self, loss: Loss, host: str) -> list[dict[str, Any]]:
        """Packets of this loss that the kernel of a host dropped: reason, function, dev, n. Empty where none was, and
        where drop reasons are not among the host's sources."""
        port = self._port(loss.probe)
        return [
            each for each in self.reports.get(host, {}).get("drops", ())
            if (each["kind"] == "tcp" and loss.probe.kind == "tcp" and each["port"] == port)
            or (each.get("probe") == loss.probe.number and each["kind"] in ("echo", "reply"))
        ]  # fmt: skip

    def sources(self, host: str) -> list[str]:
        """What this host's evidence is made of."""
        return [each for each in SOURCES if each not in self.reports[host]["missing"]]

    def established(self, host: str | None = None) -> bool:
        """The transport is, all the time, at both ends or at this one; taken for granted where it is not TCP."""
        return self.ground.protocol != "tcp" or all(
            self._lasts(side.host) for side in self.ground.sides if host in (None, side.host)
        )

    def _lasts(self, host: str) -> bool:
        texts = [(snapshot(host, "sockets", "") or "").splitlines() for snapshot in (self.before, self.after)]
        old, new = ({tuple(words[3:5]) for line in each if (words := line.split())[0] == "ESTAB"} for each in texts)
        return not old.isdisjoint(new)

    def _is(self, packet: str, loss: Loss) -> bool:
        """A packet as the trace tells it (``icmp A>B echo``, ``tcp A:P>B:Q``) is one of this loss."""
        there = (loss.probe.source_address, loss.probe.address)
        kind, _, rest = packet.partition(" ")
        ends, _, word = rest.partition(" ")
        source, _, target = ends.partition(">")
        (src, sport), (dst, dport) = ([*each.split(":"), ""][:2] for each in (source, target))
        if loss.probe.kind == "ping":
            wanted = {"echo": there, "reply": there[::-1]}.get(word)
            return kind == "icmp" and (src, dst) == wanted and (loss.turned or wanted == loss.ends)
        port = str(self._port(loss.probe))
        return kind == "tcp" and ((src, dst, sport) == (*there, port) or (src, dst, dport) == (*there[::-1], port))


def matching(routes: list[dict[str, Any]], target: str) -> dict[str, Any] | None:
    """The longest route for an address in the main table."""
    found = [
        route for route in routes
        if route.get("table", "main") == "main" and holds(route.get("dst", ""), target)
    ]  # fmt: skip
    return max(found, key=lambda route: length(route["dst"]), default=None)


def holds(network: str, target: str) -> bool:
    """The network, as ``ip`` tells it, has the address."""
    if network in ("default", "all"):
        return True
    try:
        return ip_address(target) in ip_network(network, strict=False)
    except ValueError:
        return False


def length(network: str) -> int:
    return 0 if network in ("default", "all") else ip_network(network, strict=False).prefixlen
