"""Which port of a box a capture was taken on, told from its packets.

Two captures of one host share its clock: the one that has the same SYNs earlier is the client's side. Where stamps
are too coarse, the TTL that routing takes one from says it. A single capture of a box is compared with the endpoint
next to it: the same frames (MAC addresses) mean the same link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hopscope.wire import flows
from hopscope.wire.packets import ACK, FIN, RST, SYN, V4_MAPPED, Packets
from hopscope.wire.taps import Position, Tap

SIDES: dict[str, tuple[Position, ...]] = {
    "client": (Position.CLIENT,),
    "clientnic": (Position.CLIENTNIC_LAN, Position.CLIENTNIC_WAN),
    "servernic": (Position.SERVERNIC_WAN, Position.SERVERNIC_LAN),
    "server": (Position.SERVER,),
}
"""Positions of each host, the client's side first."""

BETWEEN: dict[tuple[str, str], Position] = {
    ("clientnic", "client"): Position.CLIENTNIC_LAN,
    ("clientnic", "servernic"): Position.CLIENTNIC_WAN,
    ("servernic", "clientnic"): Position.SERVERNIC_WAN,
    ("servernic", "server"): Position.SERVERNIC_LAN,
}
"""Position of a box's port by the host at the other end of its link."""

_METADATA = V4_MAPPED | 0xA9FEA9FE
_WAN_NAME = re.compile(r"(?<![a-z])(wan|middle|mid|outside)(?![a-z])", re.IGNORECASE)
_LAN_NAME = re.compile(r"(?<![a-z])(lan|inside)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A capture whose host is known and whose side may not be."""

    tap: Tap
    position: Position | None


@dataclass(frozen=True)
class _Syn:
    """What the first copy of a SYN looked like at one capture."""

    time: int
    ttl: int
    ack: int
    macs: tuple[int, int]


_Syns = dict[tuple[int, ...], _Syn]


def place(candidates: Sequence[Candidate]) -> tuple[tuple[Tap, ...], list[str]]:
    """Give each capture its position; returns taps from client to server, and remarks on what was guessed or left
    out."""
    remarks: list[str] = []
    taps: list[Tap] = []
    syns = {id(c): _syns(c.tap.packets) for c in candidates}
    by_host = {host: [c for c in candidates if c.tap.host == host] for host in SIDES}
    for host, sides in SIDES.items():
        chosen = _busiest(by_host[host], len(sides), syns, remarks)
        if len(sides) == 1:
            taps += [replace(c.tap, position=sides[0]) for c in chosen]
        elif len(chosen) == 2:
            taps += _place_two(chosen, sides, syns, remarks)
        elif chosen:
            endpoint = by_host["client" if host == "clientnic" else "server"]
            taps.append(_place_one(chosen[0], sides, endpoint, syns, remarks))
    return tuple(sorted(taps, key=lambda tap: tap.position)), remarks


def taken_apart(tap: Tap) -> list[tuple[int, Position, Packets]]:
    """The two sides of a box in one capture that says of each packet only whether it came or went (LINUX_SLL).

    What comes in towards the server, or goes out towards the client, passes the client's side; the rest the other.
    Returns (number of the side, position, packets); only TCP, and only sides that have any.
    """
    (segments,), found = flows.connections([tap.packets])
    rows, out = segments.rows, tap.packets.outgoing[segments.rows] == 1
    near = out != found.to_server[0]
    sides = enumerate(SIDES[tap.host], start=1)
    parts = [(number, side, np.sort(rows[near == (number == 1)])) for number, side in sides]
    return [(number, side, tap.packets.take(part)) for number, side, part in parts if len(part)]


def _busiest(candidates: list[Candidate], most: int, syns: dict[int, _Syns], remarks: list[str]) -> list[Candidate]:
    """As many as the host has ports on the path: those with the most SYNs, then the most TCP."""
    ranked = sorted(candidates, key=lambda c: (-len(syns[id(c)]), -int(c.tap.packets.is_tcp.sum()), _label(c)))
    for left in ranked[most:]:
        remarks.append(f"{_label(left)}: left out: {left.tap.host} has {most} port{'s' * (most > 1)} on the path")
    return sorted(ranked[:most], key=_label)


def _place_two(
    pair: list[Candidate], sides: tuple[Position, ...], syns: dict[int, _Syns], remarks: list[str]
) -> list[Tap]:
    first, second = pair
    known = [c.position for c in pair]
    if None not in known and known[0] != known[1]:
        return [replace(c.tap, position=c.position) for c in pair if c.position is not None]
    if (known[0] is None) != (known[1] is None):
        first_is_near = known[0] == sides[0] or known[1] == sides[1]
    else:
        balance = _nearer(syns[id(first)], syns[id(second)])
        if balance == 0:
            remarks.append(f"{_label(first)} is taken for the client's side of {first.tap.host}: no SYN tells")
        first_is_near = balance >= 0
    near, far = (first, second) if first_is_near else (second, first)
    return [replace(near.tap, position=sides[0]), replace(far.tap, position=sides[1])]


def _nearer(first: _Syns, second: _Syns) -> int:
    """Above 0 when the first capture is nearer to the client, below when the second is, 0 when nothing tells."""
    common = first.keys() & second.keys()
    earlier = sum(np.sign(second[key].time - first[key].time) for key in common)
    if earlier:
        return int(earlier)
    higher = sum(np.sign(first[key].ttl - second[key].ttl) for key in common)
    # A box that lets no SYN through: the side that has them is where they come from.
    return int(higher) or len(first) - len(second)


def _place_one(
    candidate: Candidate,
    sides: tuple[Position, ...],
    endpoint: list[Candidate],
    syns: dict[int, _Syns],
    remarks: list[str],
) -> Tap:
    if candidate.position is not None:
        return replace(candidate.tap, position=candidate.position)
    wan, lan = sides if sides[0] == Position.SERVERNIC_WAN else reversed(sides)
    on_wan = _on_wan(candidate, endpoint, syns)
    if on_wan is None:
        remarks.append(f"{_label(candidate)} is taken for the LAN side of {candidate.tap.host}: nothing tells")
    return replace(candidate.tap, position=wan if on_wan else lan)


def _on_wan(candidate: Candidate, endpoint: list[Candidate], syns: dict[int, _Syns]) -> bool | None:
    """Whether the only capture of a box is on its WAN side, by the endpoint on its LAN side; None when nothing
    tells."""
    mine = syns[id(candidate)]
    theirs = {key: syn for c in endpoint for key, syn in syns[id(c)].items()}
    common = mine.keys() & theirs.keys()
    addressed = [key for key in common if 0 not in mine[key].macs and 0 not in theirs[key].macs]
    if any(mine[key].macs == theirs[key].macs for key in addressed):
        return False
    if any(mine[key].ttl != theirs[key].ttl or mine[key].ack != theirs[key].ack for key in common):
        return True
    for pattern, answer in ((_WAN_NAME, True), (_LAN_NAME, False)):
        if pattern.search(candidate.tap.file):
            return answer
    return True if addressed else None


def _syns(packets: Packets) -> _Syns:
    """First copy of each SYN, by 4-tuple and ISN; those to the metadata service are no traffic of the path."""
    hit = packets.is_tcp & (packets.flags & (SYN | ACK | RST | FIN) == SYN) & (packets.dst_lo != np.uint64(_METADATA))
    rows = np.flatnonzero(hit)
    rows = rows[np.argsort(packets.time[rows], kind="stable")][::-1]
    columns = (
        packets.src_hi,
        packets.src_lo,
        packets.sport,
        packets.dst_hi,
        packets.dst_lo,
        packets.dport,
        packets.seq,
    )
    keys = zip(*(column[rows].tolist() for column in columns), strict=True)
    looks = (packets.time, packets.ttl, packets.ack, packets.src_mac, packets.dst_mac)
    values = zip(*(column[rows].tolist() for column in looks), strict=True)
    return {key: _Syn(time, ttl, ack, (src, dst)) for key, (time, ttl, ack, src, dst) in zip(keys, values, strict=True)}


def _label(candidate: Candidate) -> str:
    tap = candidate.tap
    return f"{tap.file} {tap.interface}" if tap.interface and tap.interface.startswith("#") else tap.file
