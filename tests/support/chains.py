"""Captures of a chain that never ran: frames at all six ports for a connection under one of several rewriters.

Each packet is told in the numbers of its sender; what boxes make of it is a table of ISNs by zone (client side, WAN,
server side), so that a scheme is five lines and a capture is wrong only where a test makes it so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.wire.writer import write_pcap
from support import frames

PORTS = ("client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0")
LINKS = [list(PORTS[0:2]), list(PORTS[2:4]), list(PORTS[4:6])]
T0 = 1_700_000_000_000_000_000
LAN, BOX = 50_000, 20_000
"""ns: one way over a LAN hop, through a box."""

Captures = dict[str, list[tuple[int, bytes]]]


@dataclass
class Chain:
    """Six captures that grow; frames are written in order of time."""

    wan: int = 10_000_000
    """ns one way."""
    captures: Captures = field(default_factory=lambda: {port: [] for port in PORTS})

    def times(self, start: int, origin: int, to_server: bool) -> list[int]:
        """Time of a packet at each position, sent at ``start`` from position ``origin``."""
        gaps = [LAN, BOX, self.wan, BOX, LAN]
        out = [start] * 6
        steps = range(origin + 1, 6) if to_server else range(origin - 1, -1, -1)
        for position in steps:
            before = position - 1 if to_server else position + 1
            out[position] = out[before] + gaps[min(position, before)]
        return out

    def add(self, position: int, time: int, frame: bytes) -> None:
        self.captures[PORTS[position]].append((time, frame))

    def write(self, folder: Path, *, ports: tuple[str, ...] = PORTS, sidecar: dict[str, Any] | None = None) -> Path:
        """Write the captures of some ports, and a side-car when one is given ({} for the usual one)."""
        folder.mkdir(parents=True, exist_ok=True)
        for port in ports:
            write_pcap(folder / f"{port}.pcap", sorted(self.captures[port], key=lambda pair: pair[0]))
        if sidecar is not None:
            (folder / "taps.json").write_text(json.dumps(self.sidecar(ports) | sidecar))
        return folder

    def sidecar(self, ports: tuple[str, ...] = PORTS) -> dict[str, Any]:
        everything = [time for port in ports for time, _ in self.captures[port]]
        live, end = min(everything) - 10**9, max(everything) + 10**9
        taps = {
            f"{port}.pcap": {
                "host": port.split("-")[0],
                "interface": port.split("-")[1],
                "captured": len(self.captures[port]),
                "received": len(self.captures[port]),
                "dropped": 0,
                "live_ns": live,
                "end_ns": end,
                "offloads": False,
                "mac": frames.MAC[port],
            }
            for port in ports
        }
        return {"taps": taps, "links": LINKS, "same_clock": True, "rtt_ns": 2 * self.wan}


@dataclass
class Connection:
    """One connection on a chain. ``isn`` is the server's ISN as seen in each zone: client side, WAN, server side."""

    chain: Chain
    isn: tuple[int, int, int]
    port: int = 40000
    service: int = 8080
    client_isn: int = 1000
    client: str = frames.CLIENT
    server: str = frames.SERVER
    ts_shift: tuple[int, int, int] | None = (0, 0, 0)
    """What is added to the server's TSval in each zone; None without timestamps."""

    def packet(
        self,
        time: int,
        to_server: bool,
        flags: str,
        offset: int,
        ack: int | None,
        payload: bytes = b"",
        *,
        origin: int | None = None,
        last: int | None = None,
        **fields: Any,
    ) -> list[int]:
        """Send one packet along the chain; ``offset`` and ``ack`` count from the ISNs. Returns its time at each
        position.

        ``origin`` and ``last`` are the first and the last position that see it (ends of the chain unless told).
        """
        origin = (0 if to_server else 5) if origin is None else origin
        last = (5 if to_server else 0) if last is None else last
        times = self.chain.times(time, origin, to_server)
        for position in range(min(origin, last), max(origin, last) + 1):
            zone = (0, 0, 1, 1, 2, 2)[position]
            mine, theirs = (self.client_isn, self.isn[zone]) if to_server else (self.isn[zone], self.client_isn)
            hop = position // 2 * 2
            ends = [frames.MAC[PORTS[hop]], frames.MAC[PORTS[hop + 1]]]
            given = dict(fields)
            if self.ts_shift is not None and "options" not in given:
                given["options"] = self._timestamps(times[origin], to_server, zone)
            mark = given.pop("stamp", 0) if zone == 1 else 0
            given.pop("stamp", None)
            frame = frames.segment(
                self.port if to_server else self.service,
                self.service if to_server else self.port,
                flags,
                mine + offset,
                mark if ack is None else theirs + ack,
                payload,
                src=self.client if to_server else self.server,
                dst=self.server if to_server else self.client,
                ttl=64 - (zone if to_server else 2 - zone),
                src_mac=ends[0] if to_server else ends[1],
                dst_mac=ends[1] if to_server else ends[0],
                **given,
            )
            self.chain.add(position, times[position], frame)
        return times

    def _timestamps(self, time: int, to_server: bool, zone: int) -> bytes:
        assert self.ts_shift is not None
        clock = time // 1_000_000
        shift = self.ts_shift[zone]
        return frames.option_timestamps(clock, shift) if to_server else frames.option_timestamps(clock + shift, 0)

    def finish(self, opened: int, *, request: bytes = b"q" * 100, response: bytes = b"r" * 1000) -> None:
        """Request, response and FINs of both sides, from the time when the client is connected."""
        self.packet(opened, True, "A", 1, 1)
        arrived = self.packet(opened + 1000, True, "PA", 1, 1, request)[5]
        times = self.packet(arrived + 100_000, False, "PA", 1, 1 + len(request), response)
        done = self.packet(times[0] + 1000, True, "FA", 1 + len(request), 1 + len(response))[5]
        gone = self.packet(done + 1000, False, "FA", 1 + len(response), 2 + len(request))[0]
        self.packet(gone + 1000, True, "A", 2 + len(request), 2 + len(response))


def plain(chain: Chain, start: int, real: int = 5_000_000, **given: Any) -> Connection:
    flow = Connection(chain, (real, real, real), **given)
    arrived = flow.packet(start, True, "S", 0, None)[5]
    back = flow.packet(arrived + 1000, False, "SA", 0, 1)
    flow.finish(back[0] + 1000)
    return flow


def hold(chain: Chain, start: int, real: int = 5_000_000, spoofed: int = 900_000_000, **given: Any) -> Connection:
    """ClientNIC answers, holds the client's bytes until the real SYN-ACK has come over the WAN, and translates."""
    window = given.pop("window", 64240)
    flow = Connection(chain, (spoofed, real, real), **given)
    syn = flow.packet(start, True, "S", 0, None)
    spoof = flow.packet(syn[1] + BOX, False, "SA", 0, 1, origin=1, window=window)
    if window == 0:
        spoof = flow.packet(spoof[1] + 1_000_000, False, "A", 1, 1, origin=1)
    flow.packet(spoof[0] + 1000, True, "PA", 1, 1, b"q" * 100, last=1)
    real_times = flow.packet(syn[5] + 1000, False, "SA", 0, 1, last=2)
    released = flow.packet(real_times[2] + BOX, True, "PA", 1, 1, b"q" * 100, origin=2)
    times = flow.packet(released[5] + 1000, False, "PA", 1, 101, b"r" * 1000)
    done = flow.packet(times[0] + 1000, True, "FA", 101, 1001)[5]
    gone = flow.packet(done + 1000, False, "FA", 1001, 102)[0]
    flow.packet(gone + 1000, True, "A", 102, 1002)
    return flow


def stamp(
    chain: Chain,
    start: int,
    real: int = 5_000_000,
    spoofed: int = 900_000_000,
    *,
    mark: int | None = None,
    **given: Any,
) -> Connection:
    """ServerNIC translates; ClientNIC writes ``mark`` (the ISN unless told; 0 for another way) into the SYN's ack
    field."""
    given.setdefault("ts_shift", ((spoofed - real) % 2**32,) * 2 + (0,))
    flow = Connection(chain, (spoofed, spoofed, real), **given)
    syn = flow.packet(start, True, "S", 0, None, stamp=spoofed if mark is None else mark)
    spoof = flow.packet(syn[1] + BOX, False, "SA", 0, 1, origin=1)
    flow.packet(syn[5] + 1000, False, "SA", 0, 1, last=4)
    flow.finish(spoof[0] + 1000)
    return flow


def naive(chain: Chain, start: int, real: int = 5_000_000, spoofed: int = 900_000_000, **given: Any) -> Connection:
    """The kernel forwards as well and wins: the real SYN-ACK reaches the client first, the spoofed one comes late."""
    flow = plain(chain, start, real, **given)
    late = Connection(chain, (spoofed, real, real), **given)
    late.packet(start + 50_000_000, False, "SA", 0, 1, origin=1)
    return flow


def refused(chain: Chain, start: int, spoofed: int | None = None, **given: Any) -> Connection:
    """The server answers the SYN with a RST; a spoofed SYN-ACK came before it where there is one."""
    isn = spoofed or 0
    flow = Connection(chain, (isn, isn, 0), ts_shift=None, **given)
    syn = flow.packet(start, True, "S", 0, None)
    if spoofed is not None:
        flow.packet(syn[1] + BOX, False, "SA", 0, 1, origin=1)
    flow.packet(syn[5] + 1000, False, "RA", 0, 1)
    return flow
