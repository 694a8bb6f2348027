"""Captures of a tunnel that never ran: both devices (raw IP) and both underlays (Ethernet), with their side-car.

Frames are made with ``support.frames`` alone. A test changes one of them, or one thing that is said, before the folder
is written.

    tunnel = golden_tunnel.build()
    tunnel.drop("right-tun0", "request 2 of left")
    trace = TunnelTrace.load(tunnel.write(folder))
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hopscope.wire.writer import write_pcap
from support import frames

START = 1_760_000_000_000_000_000
MS = 1_000_000
RAW = 101
PORT, COPY_PORT = 1194, 5999
OUTER = {"left": "10.8.0.1", "right": "10.8.0.2"}
MAC = {"left": "02:00:00:00:08:01", "right": "02:00:00:00:08:02"}
INNER = {4: {"left": "10.9.0.1", "right": "10.9.0.2"}, 6: {"left": "fd00:9::1", "right": "fd00:9::2"}}
TAPS = ("left-tun0", "left-eth0", "right-eth0", "right-tun0")
OTHER = {"left": "right", "right": "left"}
PINGS, SIZE = 3, 128
SEGMENTS, SEGMENT = 6, 700


@dataclass(frozen=True)
class Frame:
    """``label``: "request 1 of left", "bytes 2 of right", "carrier of …", "keepalive 1 of left", "handshake SA"."""

    time: int
    data: bytes
    label: str


@dataclass
class Tunnel:
    """Four taps that grow, and what is said about them."""

    family: int = 4
    clear: bool = False
    split: bool = False
    """A carried packet lies across two segments of the transport."""
    now: int = START
    taps: dict[str, list[Frame]] = field(default_factory=lambda: {tap: [] for tap in TAPS})
    facts: dict[str, dict[str, Any]] = field(default_factory=lambda: {tap: {} for tap in TAPS})
    said: dict[str, Any] = field(default_factory=dict)
    sequence: dict[str, int] = field(default_factory=lambda: {"left": 5000, "right": 2**32 - 3000})

    @property
    def inner(self) -> dict[str, str]:
        return INNER[self.family]

    # -- growing ----------------------------------------------------------------------------------------------------

    def through(self, host: str, packet: bytes, label: str) -> None:
        """One inner packet: into the device of a host, over the transport, out of the other device."""
        self.taps[f"{host}-tun0"].append(Frame(self.now, packet, label))
        text = packet if self.clear else bytes(byte ^ key for byte, key in zip(packet, _keys(label), strict=False))
        self.carry(host, len(text).to_bytes(2, "big") + text, f"carrier of {label}")
        self.now += 2 * MS
        self.taps[f"{OTHER[host]}-tun0"].append(Frame(self.now + 200_000, packet, label))
        self.now += MS

    def carry(self, host: str, payload: bytes, label: str) -> None:
        middle = len(payload) // 2 if self.split else len(payload)
        for part in (payload[:middle], payload[middle:]):
            if part:
                self.segment(host, "PA", part, label)

    def segment(self, host: str, flags: str, payload: bytes = b"", label: str = "", port: int = 40001) -> None:
        """One segment of the transport, seen on both underlays."""
        ports = (port, PORT) if host == "left" else (PORT, port)
        frame = frames.segment(
            *ports, flags, self.sequence[host], self.sequence[OTHER[host]], payload, src=OUTER[host],
            dst=OUTER[OTHER[host]], src_mac=MAC[host], dst_mac=MAC[OTHER[host]],
        )  # fmt: skip
        self.sequence[host] = (self.sequence[host] + len(payload) + ("S" in flags) + ("F" in flags)) % 2**32
        self.taps[f"{host}-eth0"].append(Frame(self.now + 50_000, frame, label))
        self.taps[f"{OTHER[host]}-eth0"].append(Frame(self.now + 2 * MS, frame, label))
        self.now += 10_000

    def handshake(self, port: int = 40001, steps: int = 3) -> None:
        for host, flags in (("left", "S"), ("right", "SA"), ("left", "A"))[:steps]:
            self.segment(host, flags, label=f"handshake {flags}", port=port)
            self.now += 3 * MS

    def ping(self, host: str) -> None:
        tag = hashlib.md5(host.encode(), usedforsecurity=False).digest()
        start = self.now
        kinds = (8, 0) if self.family == 4 else (128, 129)
        for number in range(1, PINGS + 1):
            rest = b"\x00\x07" + number.to_bytes(2, "big")
            payload = bytes(16) + (tag * 9)[: SIZE - {4: 28, 6: 48}[self.family] - 16]
            self.through(
                host, self.packet(host, frames.icmp(kinds[0], 0, rest, payload)), f"request {number} of {host}"
            )
            answer = self.packet(OTHER[host], frames.icmp(kinds[1], 0, rest, payload))
            self.through(OTHER[host], answer, f"reply {number} of {host}")
        self.say("pings", {
            "end": host, "host": host, "target": self.inner[OTHER[host]], "tag": tag.hex(), "size": SIZE, "sent": PINGS,
            "received": PINGS, "errors": 0, "duplicates": 0, "words": [], "start_ns": start, "end_ns": self.now,
        })  # fmt: skip

    def packet(self, host: str, message: bytes) -> bytes:
        pair = {"src": self.inner[host], "dst": self.inner[OTHER[host]]}
        if self.family == 4:
            return frames.ipv4(message, proto=1, ident=self.now // MS % 65536, **pair)
        return frames.ipv6(message, proto=58, **pair)

    def transfer(self) -> None:
        start, data = self.now, random.Random(7)
        for number in range(SEGMENTS):
            for host in ("left", "right"):
                ports = (41000, COPY_PORT) if host == "left" else (COPY_PORT, 41000)
                message = frames.tcp(
                    *ports, "PA", 2**32 - 1000 + number * SEGMENT, 1, data.randbytes(SEGMENT),
                    src=self.inner[host], dst=self.inner[OTHER[host]],
                )  # fmt: skip
                pair = {"src": self.inner[host], "dst": self.inner[OTHER[host]]}
                packet = frames.ipv4(message, **pair) if self.family == 4 else frames.ipv6(message, **pair)
                self.through(host, packet, f"bytes {number} of {host}")
        for host, to_port in (("left", True), ("right", False)):
            self.say("transfers", {
                "end": host, "name": f"{host} to {OTHER[host]}", "port": COPY_PORT, "to_port": to_port,
                "asked": SEGMENTS * SEGMENT, "received": SEGMENTS * SEGMENT, "same": True, "error": "",
                "start_ns": start, "end_ns": self.now,
            })  # fmt: skip

    def counters(self, start: int) -> None:
        for host in ("left", "right"):
            inside = [frame for frame in self.taps[f"{host}-tun0"] if start <= frame.time <= self.now]
            into = sum(_leaves(host, frame.label) for frame in inside)
            moved = {"tx": into, "rx": len(inside) - into}
            moved |= dict.fromkeys(("tx_errors", "rx_errors", "tx_dropped", "rx_dropped"), 0)
            self.say("counters", {"host": host, "moved": moved, "start_ns": start, "end_ns": self.now})
        self.now += MS

    def idle(self, seconds: float = 2.0, every: float = 0.5) -> None:
        start = self.now
        for number in range(round(seconds / every)):
            self.now = start + round(number * every * 1e9)
            for host in ("left", "right"):
                self.segment(host, "PA", _keys(f"alive {number} {host}")[:40], f"keepalive {number} of {host}")
        self.now = start + round(seconds * 1e9)
        self.say("idles", [start, self.now])
        self.now += 5 * MS

    def say(self, key: str, value: Any) -> None:
        self.said.setdefault(key, []).append(value)

    # -- changing ---------------------------------------------------------------------------------------------------

    def drop(self, tap: str, label: str) -> None:
        """Take the frames whose label begins so from a tap; there must be one."""
        kept = [frame for frame in self.taps[tap] if not frame.label.startswith(label)]
        assert len(kept) < len(self.taps[tap]), label
        self.taps[tap] = kept

    def change(self, tap: str, label: str, change: Callable[[bytes], bytes]) -> None:
        at = next(at for at, frame in enumerate(self.taps[tap]) if frame.label.startswith(label))
        self.taps[tap][at] = replace(self.taps[tap][at], data=change(self.taps[tap][at].data))

    # -- writing ----------------------------------------------------------------------------------------------------

    def look(self) -> dict[str, Any]:
        """How far it has come, as a tape has it."""
        return {"taps": self._entries(self.now), "said": {kind: len(told) for kind, told in self.said.items()}}

    def _entries(self, end_ns: int) -> dict[str, Any]:
        entries = {}
        for tap, held in self.taps.items():
            host, interface = tap.split("-", 1)
            entries[f"{tap}.pcap"] = {
                "host": host, "interface": interface.split("-")[0], "captured": len(held), "received": len(held),
                "dropped": 0, "live_ns": START - 10**9, "end_ns": end_ns,
            } | self.facts[tap]  # fmt: skip
        return entries

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for tap, held in self.taps.items():
            pairs = sorted(((frame.time, frame.data) for frame in held), key=lambda pair: pair[0])
            write_pcap(folder / f"{tap}.pcap", pairs, linktype=RAW if "tun" in tap else 1)
        tunnel = {
            "sut": "golden", "secret": True, "keepalive_s": 1.0, "outside": ["left:eth0", "right:eth0"],
            "transport": {"server": "right", "port": PORT, "protocol": "tcp"},
            "ends": {
                host: {"device": "tun0", "underlay": "eth0", "outer": OUTER[host], "inner": [self.inner[host]],
                       "networks": []}
                for host in ("left", "right")
            },
        } | self.said  # fmt: skip
        taps = self._entries(self.now + 10**9)
        (folder / "taps.json").write_text(json.dumps({"taps": taps, "same_clock": True, "tunnel": tunnel}))
        return folder


def build(family: int = 4, *, clear: bool = False, split: bool = False) -> Tunnel:
    """A handshake, a ping each way with counters read around them, a transfer, and two idle seconds."""
    tunnel = Tunnel(family, clear, split)
    tunnel.handshake()
    start = tunnel.now
    tunnel.ping("left")
    tunnel.ping("right")
    tunnel.counters(start)
    tunnel.transfer()
    tunnel.idle()
    return tunnel


def _leaves(host: str, label: str) -> bool:
    """A reply leaves from the other side than its request."""
    kind, _, owner = label.partition(" ")[0], *label.rpartition(" ")[1:]
    return (owner == host) is (kind != "reply")


def _keys(label: str) -> bytes:
    return random.Random(label).randbytes(2000)
