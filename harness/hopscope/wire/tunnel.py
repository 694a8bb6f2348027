"""All captures of a tunnel, read together: on the device and on the underlay of both ends, and elsewhere.

A folder of captures is one of a tunnel when its ``taps.json`` has a key ``tunnel``: which capture is what, which
addresses are inside, what carries the tunnel, and what was asked of it meanwhile (pings, counters, interruptions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.errors import HarnessFault
from hopscope.wire import pcap, sidecar
from hopscope.wire.packets import ICMP, ICMPV6, V4_MAPPED, Packets
from hopscope.wire.taps import TapHealth

_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
"""Types of echo request and reply."""
_NUMBERS = {"tcp": 6, "udp": 17}

SAID = ("pings", "transfers", "counters", "idles", "interruptions")
"""What is said of a tunnel in the course of a window, in lists that grow: keys of the side-car, fields of the trace."""


@dataclass(frozen=True)
class Look:
    """How far a window had come at one moment of it: the side-car's ``taps`` then, and how much of each kind of SAID
    had been said."""

    taps: dict[str, Any]
    said: dict[str, int]


@dataclass(frozen=True, eq=False)
class Capture:
    """One capture: of a port, or of one life of a device."""

    file: str
    host: str
    interface: str
    packets: Packets
    health: TapHealth | None
    doubts: tuple[str, ...] = ()

    def between(self, start_ns: int, end_ns: int) -> NDArray[np.bool_]:
        """Mask of the rows in a span of time."""
        return np.asarray((self.packets.time >= start_ns) & (self.packets.time <= end_ns))


@dataclass(frozen=True)
class Echo:
    """One echo of a ping in a capture. ``row`` is its index, ``sequence`` its number within the ping."""

    row: int
    request: bool
    sequence: int


@dataclass(frozen=True, eq=False)
class Side:
    """One end of the tunnel. ``tun`` has a capture for each life of the device."""

    host: str
    device: str
    outer: str
    inner: tuple[str, ...]
    """Addresses and networks on this side of the tunnel: what comes from there leaves by the device."""
    tun: tuple[Capture, ...]
    underlay: tuple[Capture, ...]

    def leaving(self, capture: Capture) -> NDArray[np.bool_]:
        """Mask of the rows of a capture of the device that go into the tunnel here; the others come out of it."""
        return _within(capture.packets.src_hi, capture.packets.src_lo, self.inner)


@dataclass(frozen=True)
class Transport:
    """What carries the tunnel: a port of the host ``server``."""

    server: str
    port: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class PingSaid:
    """A ping as its sender accounts for it; ``end`` is the end of the tunnel on whose side it was sent."""

    end: str
    host: str
    target: str
    tag: bytes
    size: int
    sent: int
    received: int
    errors: int
    duplicates: int
    words: tuple[str, ...]
    start_ns: int
    end_ns: int

    @property
    def name(self) -> str:
        return f"{self.host} to {self.target}, {self.size} bytes"


@dataclass(frozen=True)
class TransferSaid:
    """One way of a transfer, as its two hosts account for it; ``to_port`` when it goes to the TCP port, else from it.

    ``end`` is the end of the tunnel on whose side it was sent.
    """

    end: str
    name: str
    port: int
    to_port: bool
    asked: int
    received: int
    same: bool
    error: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class CountersSaid:
    """By how much the counters of a device have moved in a span of time."""

    host: str
    moved: Mapping[str, int]
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Interruption:
    """A span in which the harness itself kept the tunnel from carrying: a link cut, a daemon restarted."""

    what: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, eq=False)
class TunnelTrace:
    name: str
    sides: tuple[Side, Side]
    others: tuple[Capture, ...]
    """Captures of other ports: of a router between the ends, of hosts behind them."""
    outside: tuple[Capture, ...]
    """Of all captures those of ports between the ends, where nothing of the inside may be read."""
    transport: Transport
    secret: bool
    keepalive_s: float | None = None
    pings: tuple[PingSaid, ...] = ()
    transfers: tuple[TransferSaid, ...] = ()
    counters: tuple[CountersSaid, ...] = ()
    idles: tuple[tuple[int, int], ...] = ()
    """Spans, in ns, in which nothing was sent through the tunnel."""
    interruptions: tuple[Interruption, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @staticmethod
    def is_one(path: Path) -> bool:
        """The folder's side-car says that it is of a tunnel."""
        try:
            content = json.loads((path / sidecar.NAME).read_text())
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and isinstance(content.get("tunnel"), dict)

    @staticmethod
    def load(path: Path, look: Look | None = None) -> TunnelTrace:
        """Read a folder, as it was at a ``look`` or as it is. Raises HarnessFault when it is not one of a tunnel, or a
        capture cannot be read."""
        taps = sidecar.read(path / sidecar.NAME).taps
        try:
            tunnel = json.loads((path / sidecar.NAME).read_text())["tunnel"]
            if look is not None:
                taps, said = look.taps, {kind: tunnel.get(kind, [])[: look.said.get(kind, 0)] for kind in SAID}
                tunnel |= said
            return _trace(path, tunnel, taps)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise HarnessFault(f"{path / sidecar.NAME}: tunnel: cannot be read: {error!r}") from error

    @cached_property
    def captures(self) -> tuple[Capture, ...]:
        return (*(each for side in self.sides for each in (*side.tun, *side.underlay)), *self.others)

    def side(self, host: str) -> Side:
        return next(side for side in self.sides if side.host == host)

    def other(self, host: str) -> Side:
        return next(side for side in self.sides if side.host != host)

    def carrying(self, capture: Capture, source: Side, start_ns: int = 0, end_ns: int = 2**63 - 1) -> NDArray[np.int64]:
        """Rows of an outside capture that belong to the transport and were sent by one side, in a span of time."""
        packets, target = capture.packets, self.other(source.host)
        port = packets.sport if source.host == self.transport.server else packets.dport
        mine = _within(packets.src_hi, packets.src_lo, (source.outer,))
        mine &= _within(packets.dst_hi, packets.dst_lo, (target.outer,))
        mine &= (packets.proto == _NUMBERS[self.transport.protocol]) & (port == self.transport.port)
        return np.flatnonzero(mine & capture.between(start_ns, end_ns))


def echoes(capture: Capture, tag: bytes) -> list[Echo]:
    """The echoes of one ping that a capture holds, in its order."""
    packets = capture.packets
    found = []
    for row in np.flatnonzero(np.isin(packets.proto, list(_ECHO)) & (packets.payload_offset >= 0)).tolist():
        if tag not in packets.payload(row):
            continue
        at = int(packets.l4_offset[row])
        request, reply = _ECHO[int(packets.proto[row])]
        kind = int(packets.data[at])
        if kind in (request, reply):
            found.append(Echo(row, kind == request, int.from_bytes(packets.data[at + 6 : at + 8].tobytes(), "big")))
    return found


def _trace(path: Path, tunnel: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> TunnelTrace:
    ahead_ns = tunnel.get("ahead_ns", {})
    captures = {
        name: _capture(path / name, entry, int(ahead_ns.get(entry["host"], 0)))
        for name, entry in entries.items()
        if (path / name).is_file()
    }
    sides, used = [], set()
    for host, end in tunnel["ends"].items():
        mine = [each for each in captures.values() if each.host == host]
        tun = tuple(each for each in mine if each.interface == end["device"])
        underlay = tuple(each for each in mine if each.interface == end["underlay"])
        used |= {each.file for each in (*tun, *underlay)}
        inner = (*end["inner"], *end["networks"])
        sides.append(Side(host, end["device"], end["outer"], inner, tun, underlay))
    first, second = sides
    return TunnelTrace(
        name=str(tunnel["sut"]),
        sides=(first, second),
        others=tuple(each for name, each in captures.items() if name not in used),
        outside=tuple(each for each in captures.values() if f"{each.host}:{each.interface}" in tunnel["outside"]),
        transport=Transport(**tunnel["transport"]),
        secret=bool(tunnel["secret"]),
        keepalive_s=tunnel.get("keepalive_s"),
        pings=tuple(_ping(each) for each in tunnel.get("pings", [])),
        transfers=tuple(TransferSaid(**each) for each in tunnel.get("transfers", [])),
        counters=tuple(CountersSaid(**each) for each in tunnel.get("counters", [])),
        idles=tuple((int(start), int(end)) for start, end in tunnel.get("idles", [])),
        interruptions=tuple(Interruption(**each) for each in tunnel.get("interruptions", [])),
        missing=tuple(name for name in entries if name not in captures),
    )


def _capture(file: Path, entry: Mapping[str, Any], ahead_ns: int) -> Capture:
    """A capture as far as the side-car counts it: one that is still going on may have grown since. Its times are on the
    clock of what was said then, which its own is ahead of by ``ahead_ns``."""
    packets = pcap.read(file)
    if ahead_ns:
        packets = replace(packets, time=packets.time - ahead_ns)
        entry = {**entry, **{key: entry[key] - ahead_ns for key in ("live_ns", "end_ns") if entry.get(key)}}
    health, doubts = sidecar.health(entry)
    if health is not None and not doubts and len(packets) > health.captured:
        packets = replace(packets.take(np.arange(health.captured)), truncated=False)
    return Capture(file.name, str(entry["host"]), str(entry["interface"]), packets, health, doubts)


def _ping(said: Mapping[str, Any]) -> PingSaid:
    return PingSaid(**{**said, "tag": bytes.fromhex(said["tag"]), "words": tuple(said["words"])})


def _within(high: NDArray[np.uint64], low: NDArray[np.uint64], places: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mask of the addresses in one of several addresses or networks."""
    found = np.zeros(len(low), np.bool_)
    for text in places:
        network = ip_network(text) if "/" in text else ip_network(ip_address(text))
        base, bits = int(network.network_address), network.max_prefixlen - network.prefixlen
        if network.version == 4:
            first = np.uint64(V4_MAPPED | base)
            found |= (high == 0) & (low >> np.uint64(bits) == first >> np.uint64(bits))
        elif bits <= 64:
            at = np.uint64(min(bits, 63))
            same = low >> at == np.uint64(base & (2**64 - 1)) >> at
            found |= (high == np.uint64(base >> 64)) & (same | (bits == 64))
        else:
            at = np.uint64(min(bits - 64, 63))
            found |= (high >> at == np.uint64(base >> 64) >> at) | (bits == 128)
    return found
