"""What a trace shows that no check judges, measured so that the shards of a trace can be put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from hopscope.checks.correlation import Kind, correlate
from hopscope.checks.identities import Surplus, countable, surplus
from hopscope.checks.view import Bools, Ints, keys, rewritten, view
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import HOPS, Position
from hopscope.wire.trace import Trace


@dataclass(frozen=True, eq=False)
class Timing:
    """What one end of the path could measure; ns."""

    asked: Ints
    """Its handshake's round trip, of each flow that has both."""
    answered: Ints
    """Its first payload's, of the same flows."""
    least: int
    """The shortest time in which payload was acknowledged; -1 where none was."""
    waited: Ints
    """How long each segment had been on its way that was sent again."""


@dataclass(frozen=True, eq=False)
class Loss:
    """What did not come through one stretch in one direction as it went in."""

    proven: bool
    ranges: Mapping[Kind, int]
    octets: Mapping[Kind, int]


@dataclass(frozen=True)
class Clocks:
    """How far the clock of one host is ahead of another's, by the packets of both; ns."""

    low: int
    high: int
    vouched: int | None
    """What chrony says that both may be off together; None: not known of both."""


@dataclass(frozen=True, eq=False)
class Sights:
    """Of a trace, or of several shards of one."""

    ends: Mapping[str, Timing] = field(default_factory=dict)
    """By host: the client's end and the server's."""
    losses: Mapping[tuple[str, bool], Loss] = field(default_factory=dict)
    """By place, and whether towards the server."""
    counted: Mapping[str, Surplus] = field(default_factory=dict)
    """By tap: packets of flows without loss."""
    clocks: Mapping[tuple[str, str], Clocks] = field(default_factory=dict)
    """By the hosts of a link, the nearer to the client first; none where they have one clock."""


def look(trace: Trace) -> Sights:
    """Nothing for a trace without whole flows."""
    if not trace.whole.any():
        return Sights()
    ends = {
        trace.taps[end].host: _timing(trace, end, up)
        for end, up in ((Position.CLIENT, True), (Position.SERVER, False))
        if end in trace.taps
    }
    losses = {
        (way.place, way.up): Loss(
            way.proven,
            {kind: len(way.of(kind)) for kind in Kind},
            {kind: way.bytes_of(kind) for kind in Kind},
        )
        for way in correlate(trace)
    }
    flows = rewritten(trace) & countable(trace)
    counted = {trace.taps[position].name: each[flows] for position, each in surplus(trace).items()}
    return Sights(ends, losses, counted, dict(_clocks(trace)))


def joined(parts: Iterable[Sights]) -> Sights:
    """The sights of the whole, from those of its shards."""
    ends: dict[str, list[Timing]] = {}
    losses: dict[tuple[str, bool], list[Loss]] = {}
    counted: dict[str, list[Surplus]] = {}
    clocks: dict[tuple[str, str], Clocks] = {}
    for part in parts:
        for host, timing in part.ends.items():
            ends.setdefault(host, []).append(timing)
        for place, loss in part.losses.items():
            losses.setdefault(place, []).append(loss)
        for name, each in part.counted.items():
            counted.setdefault(name, []).append(each)
        for hosts, seen in part.clocks.items():
            known = clocks.get(hosts, seen)
            clocks[hosts] = Clocks(max(known.low, seen.low), min(known.high, seen.high), seen.vouched)
    return Sights(
        {host: _timings(each) for host, each in ends.items()},
        {place: _losses(each) for place, each in losses.items()},
        {name: Surplus.joined(each) for name, each in counted.items()},
        clocks,
    )


def _clocks(trace: Trace) -> Iterator[tuple[tuple[str, str], Clocks]]:
    for near, far in () if trace.same_clock else HOPS:
        if near not in trace.taps or far not in trace.taps:
            continue
        first, second = trace.taps[near], trace.taps[far]
        if (bounds := trace.clock_offset(near, far)) is not None:
            errors = first.clock_error_ns, second.clock_error_ns
            vouched = None if errors[0] is None or errors[1] is None else errors[0] + errors[1]
            yield (first.host, second.host), Clocks(*bounds, vouched)


def _timings(parts: list[Timing]) -> Timing:
    asked, answered, waited = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("asked", "answered", "waited")
    )
    return Timing(asked, answered, min((part.least for part in parts if part.least >= 0), default=-1), waited)


def _losses(parts: list[Loss]) -> Loss:
    return Loss(
        all(part.proven for part in parts),
        {kind: sum(part.ranges[kind] for part in parts) for kind in Kind},
        {kind: sum(part.octets[kind] for part in parts) for kind in Kind},
    )


def _timing(trace: Trace, end: Position, up: bool) -> Timing:
    asked, path = handshake_sample(trace, end, up), path_sample(trace, end, up)
    both = (asked >= 0) & (path >= 0) & trace.whole
    known = path[path >= 0]
    return Timing(asked[both], path[both], int(known.min()) if len(known) else -1, _waited(trace, end, up))


def handshake_sample(trace: Trace, end: Position, up: bool) -> Ints:
    """What each flow's end has measured with its first segment, ns: SYN to SYN-ACK, or SYN-ACK to ACK; -1 unknown."""
    tap = trace.rows[end]
    sent = tap.first(tap.syn if up else tap.synack)
    flags = tap.packets.flags
    back = tap.synack if up else (flags & (ACK | SYN | RST) == ACK) & tap.to_server
    return _took(trace, end, sent, tap.first(back))


def path_sample(trace: Trace, end: Position, up: bool) -> Ints:
    """How long each flow's first payload out of an end was without its acknowledgement, ns; -1 unknown."""
    tap = trace.rows[end]
    mine = (tap.flow >= 0) & (tap.to_server == up) & (tap.packets.flags & RST == 0)
    sent = tap.first(mine & (tap.packets.payload_len > 0))
    reach = np.zeros(len(trace), np.int64)
    have = sent >= 0
    reach[have] = tap.packets.seq[sent[have]].astype(np.int64) + tap.packets.payload_len[sent[have]]
    other = (tap.flow >= 0) & (tap.to_server != up) & (tap.packets.flags & (ACK | RST) == ACK)
    acked = distance(tap.packets.ack, reach[tap.flow]) >= 0 if len(trace) else other
    return _took(trace, end, sent, tap.first(other & acked))


def _waited(trace: Trace, end: Position, up: bool) -> Ints:
    """Of every segment that an end had sent before: for how long."""
    seen = view(trace, end, trace.whole)
    seen = seen[(seen.up == up) & (seen.length > 0) & ~seen.has(RST)]
    key = keys(seen.flow, seen.seq, seen.length, seen.flags & FIN)
    order = np.lexsort((seen.time, key))
    again = np.flatnonzero(key[order][1:] == key[order][:-1])
    return np.asarray(seen.time[order[again + 1]] - seen.time[order[again]])


def _took(trace: Trace, end: Position, sent: Ints, back: Ints) -> Ints:
    time = trace.taps[end].packets.time
    both: Bools = (sent >= 0) & (back >= 0)
    out = np.full(len(sent), -1, np.int64)
    out[both] = time[back[both]] - time[sent[both]]
    return np.maximum(out, -1)
