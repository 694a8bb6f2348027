"""Which port of a box a capture was taken on, told from its packets.

Two captures of one host share its clock: the one that has the same SYNs earlier is the client's side. Where stamps
are too coarse, the TTL that routing takes one from says it. A single capture of a box is compared with the endpoint
next to it: the same frames (MAC addresses) mean the same link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import flows
from hopscope.wire.number import number
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


@dataclass(frozen=True, eq=False)
class _Syns:
    """What the first copy of each SYN looked like at one capture."""

    key: NDArray[np.int64]
    """Number of the SYN (4-tuple and ISN), the same at all captures; rising."""
    time: NDArray[np.int64]
    ttl: NDArray[np.int64]
    ack: NDArray[np.int64]
    source: NDArray[np.uint64]
    """MAC addresses."""
    target: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: NDArray[Any]) -> _Syns:
        return _Syns(*(getattr(self, column.name)[rows] for column in fields(self)))


def place(candidates: Sequence[Candidate]) -> tuple[tuple[Tap, ...], list[str]]:
    """Give each capture its position; returns taps from client to server, and remarks on what was guessed or left
    out."""
    remarks: list[str] = []
    taps: list[Tap] = []
    found = _syns([c.tap.packets for c in candidates])
    syns = {id(c): one for c, one in zip(candidates, found, strict=True)}
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


def _busiest(candidates: list[Candidate], most: int, syns: Mapping[int, _Syns], remarks: list[str]) -> list[Candidate]:
    """As many as the host has ports on the path: those with the most SYNs, then the most TCP."""
    ranked = sorted(candidates, key=lambda c: (-len(syns[id(c)]), -int(c.tap.packets.is_tcp.sum()), _label(c)))
    for left in ranked[most:]:
        remarks.append(f"{_label(left)}: left out: {left.tap.host} has {most} port{'s' * (most > 1)} on the path")
    return sorted(ranked[:most], key=_label)


def _place_two(
    pair: list[Candidate], sides: tuple[Position, ...], syns: Mapping[int, _Syns], remarks: list[str]
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
    one, other = _common(first, second)
    earlier = int(np.sign(other.time - one.time).sum())
    if earlier:
        return earlier
    higher = int(np.sign(one.ttl - other.ttl).sum())
    # A box that lets no SYN through: the side that has them is where they come from.
    return higher or len(first) - len(second)


def _place_one(
    candidate: Candidate,
    sides: tuple[Position, ...],
    endpoint: list[Candidate],
    syns: Mapping[int, _Syns],
    remarks: list[str],
) -> Tap:
    if candidate.position is not None:
        return replace(candidate.tap, position=candidate.position)
    wan, lan = sides if sides[0] == Position.SERVERNIC_WAN else reversed(sides)
    on_wan = _on_wan(candidate, endpoint, syns)
    if on_wan is None:
        remarks.append(f"{_label(candidate)} is taken for the LAN side of {candidate.tap.host}: nothing tells")
    return replace(candidate.tap, position=wan if on_wan else lan)


def _on_wan(candidate: Candidate, endpoint: list[Candidate], syns: Mapping[int, _Syns]) -> bool | None:
    """Whether the only capture of a box is on its WAN side, by the endpoint on its LAN side; None when nothing
    tells."""
    pairs = [_common(syns[id(candidate)], syns[id(other)]) for other in endpoint]
    told = [(one.source > 0) & (one.target > 0) & (two.source > 0) & (two.target > 0) for one, two in pairs]
    alike = [(one.source == two.source) & (one.target == two.target) for one, two in pairs]
    if any((known & same).any() for known, same in zip(told, alike, strict=True)):
        return False
    if any(((one.ttl != two.ttl) | (one.ack != two.ack)).any() for one, two in pairs):
        return True
    for pattern, answer in ((_WAN_NAME, True), (_LAN_NAME, False)):
        if pattern.search(candidate.tap.file):
            return answer
    return True if any(known.any() for known in told) else None


def _common(first: _Syns, second: _Syns) -> tuple[_Syns, _Syns]:
    """The SYNs that two captures have in common, as either saw them."""
    _, one, other = np.intersect1d(first.key, second.key, assume_unique=True, return_indices=True)
    return first[one], second[other]


def _syns(captures: Sequence[Packets]) -> list[_Syns]:
    """First copy of each SYN of each capture; those to the metadata service are no traffic of the path."""
    rows = [_syn_rows(packets) for packets in captures]
    names = ("src_hi", "src_lo", "sport", "dst_hi", "dst_lo", "dport", "seq")
    columns = [[getattr(packets, name)[mine] for packets, mine in zip(captures, rows, strict=True)] for name in names]
    keys = number(*(np.concatenate(column) for column in columns)) if captures else np.zeros(0, np.int64)
    found, at = [], 0
    for packets, mine in zip(captures, rows, strict=True):
        key, first = np.unique(keys[at : at + len(mine)], return_index=True)
        at, kept = at + len(mine), mine[first]
        ttl, ack = packets.ttl[kept].astype(np.int64), packets.ack[kept].astype(np.int64)
        found.append(_Syns(key, packets.time[kept], ttl, ack, packets.src_mac[kept], packets.dst_mac[kept]))
    return found


def _syn_rows(packets: Packets) -> NDArray[np.int64]:
    """Rows of SYNs, in time order."""
    hit = packets.is_tcp & (packets.flags & (SYN | ACK | RST | FIN) == SYN) & (packets.dst_lo != np.uint64(_METADATA))
    rows = np.flatnonzero(hit)
    return rows[np.argsort(packets.time[rows], kind="stable")]


def _label(candidate: Candidate) -> str:
    tap = candidate.tap
    return f"{tap.file} {tap.interface}" if tap.interface and tap.interface.startswith("#") else tap.file
