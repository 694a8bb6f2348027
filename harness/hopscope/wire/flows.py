"""TCP segments of each tap by connection: 4-tuples over all taps, then connections within a 4-tuple.

A connection is (4-tuple, initiator, ISN of its SYN): a box translates the server's numbers, never the client's, so
the client's ISN is the same at every tap and a retransmitted SYN names the same connection. A SYN with another ISN
starts the next generation of its 4-tuple. Rows take the connection of the SYN or SYN-ACK before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.number import number
from hopscope.wire.packets import ACK, FIN, RST, SYN, Packets

EARLY = 1 << 24
"""How far behind its SYN a client can have sent before anything was answered: more than any first window."""

Ends = NDArray[np.uint64]
"""Shape (n, 3): high and low half of the address, port."""


@dataclass(frozen=True, eq=False)
class Segments:
    """TCP rows of one tap, in time order."""

    rows: NDArray[np.int64]
    pair: NDArray[np.int64]
    """Index of the 4-tuple, the same over all taps."""
    forward: NDArray[np.bool_]
    """Sent by the lower end of the pair."""
    time: NDArray[np.int64]
    flags: NDArray[np.uint8]
    seq: NDArray[np.int64]
    ack: NDArray[np.int64]

    @property
    def is_syn(self) -> NDArray[np.bool_]:
        return np.asarray(self.flags & (SYN | ACK | RST | FIN) == SYN)

    @property
    def is_synack(self) -> NDArray[np.bool_]:
        return np.asarray(self.flags & (SYN | ACK | RST) == SYN | ACK)


@dataclass(frozen=True, eq=False)
class Connections:
    """One row for each connection, in the order in which they began."""

    client: Ends
    server: Ends
    client_isn: NDArray[np.int64]
    """-1: no SYN was seen at any tap."""
    generation: NDArray[np.int64]
    began: NDArray[np.int64]
    """ns, first row at the tap nearest to the client that saw the connection."""
    flow_of: tuple[NDArray[np.int64], ...]
    """For each tap, aligned with its Segments: index of the connection, never -1."""
    to_server: tuple[NDArray[np.bool_], ...]


def connections(taps: Sequence[Packets]) -> tuple[tuple[Segments, ...], Connections]:
    """Find the connections of several taps, given in order from client to server."""
    ends, segments = _pairs(taps)
    return segments, _connections(ends, segments)


def _pairs(taps: Sequence[Packets]) -> tuple[Ends, tuple[Segments, ...]]:
    """4-tuples over all taps as (lower end, upper end) in 6 columns, and the segments of each tap."""
    local = [_local_pairs(packets) for packets in taps]
    stacked = np.concatenate([table for table, _ in local]) if local else np.zeros((0, 6), np.uint64)
    numbers = number(*stacked.T)
    ends = np.zeros((int(numbers.max(initial=-1)) + 1, 6), np.uint64)
    ends[numbers] = stacked
    segments, at = [], 0
    for table, part in local:
        mine = numbers[at : at + len(table)]
        at += len(table)
        segments.append(Segments(part.rows, mine[part.pair], part.forward, part.time, part.flags, part.seq, part.ack))
    return ends, tuple(segments)


def _local_pairs(packets: Packets) -> tuple[Ends, Segments]:
    rows = np.flatnonzero(packets.is_tcp)
    time = packets.time[rows]
    if (time[1:] < time[:-1]).any():
        rows = rows[np.argsort(time, kind="stable")]
    count = len(rows)
    high = np.concatenate([packets.src_hi[rows], packets.dst_hi[rows]])
    low = np.concatenate([packets.src_lo[rows], packets.dst_lo[rows]])
    port = np.concatenate([packets.sport[rows], packets.dport[rows]])
    # Numbers follow the order of values, so that "lower end" means the same at every tap.
    lows, end = np.unique(low, return_inverse=True)
    if high.any():
        end += np.unique(high, return_inverse=True)[1] * len(lows)
    end <<= 16
    end |= port
    known, place = np.unique(end, return_inverse=True)
    del end
    source, target = place[:count], place[count:]
    key = np.minimum(source, target)
    key *= max(len(known), 1)
    key += np.maximum(source, target)
    _, first, pair = np.unique(key, return_index=True, return_inverse=True)
    del key
    forward = source <= target
    lower = np.where(forward[first], first, first + count)
    upper = np.where(forward[first], first + count, first)
    table = np.stack([column[which] for which in (lower, upper) for column in (high, low, port)], axis=1)
    segments = Segments(
        rows=rows,
        pair=pair.astype(np.int64),
        forward=forward,
        time=packets.time[rows],
        flags=packets.flags[rows],
        seq=packets.seq[rows].astype(np.int64),
        ack=packets.ack[rows].astype(np.int64),
    )
    return table.astype(np.uint64).reshape(-1, 6), segments


def _connections(ends: Ends, segments: Sequence[Segments]) -> Connections:
    names = _names(segments)
    assigned, nearer = [], np.zeros(0, np.int64)
    for part in segments:
        assigned.append(_assign(part, names, nearer))
        nearer = np.union1d(nearer, _syn_keys(part))
    # What no SYN or SYN-ACK explains began before the captures: one connection for each such 4-tuple.
    none = np.zeros(0, np.int64)
    strays = [part.pair[flow < 0] for part, flow in zip(segments, assigned, strict=True)]
    rest = np.unique(np.concatenate([none, *strays]))
    for stray, flow in zip(strays, assigned, strict=True):
        flow[flow < 0] = len(names.pair) + np.searchsorted(rest, stray)

    pair = np.concatenate([names.pair, rest])
    lower_is_client = np.concatenate([names.by_lower, _guess_client(ends, rest, names)])
    isn = np.concatenate([names.isn, np.full(len(rest), -1, np.int64)])
    began = np.zeros(len(pair), np.int64)
    for part, flow in reversed(list(zip(segments, assigned, strict=True))):
        began[flow[::-1]] = part.time[::-1]

    order = np.lexsort((pair, began))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    lower, upper = ends[pair, :3], ends[pair, 3:]
    towards = lower_is_client[:, None]
    return Connections(
        client=np.where(towards, lower, upper)[order],
        server=np.where(towards, upper, lower)[order],
        client_isn=isn[order],
        generation=_ordinal(pair[order]),
        began=began[order],
        flow_of=tuple(rank[flow] for flow in assigned),
        to_server=tuple(
            np.asarray(part.forward == lower_is_client[flow]) for part, flow in zip(segments, assigned, strict=True)
        ),
    )


@dataclass(frozen=True, eq=False)
class _Names:
    """Connections that a SYN or SYN-ACK names. They are numbered by 4-tuple, then by generation."""

    pair: NDArray[np.int64]
    by_lower: NDArray[np.bool_]
    """The lower end of the pair is the initiator."""
    isn: NDArray[np.int64]
    keys: NDArray[np.int64]
    """Sorted keys, and the number of each, to find a name by its key."""
    number: NDArray[np.int64]

    def find(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of each wanted key, -1 where it names nothing."""
        if not len(self.keys):
            return np.full(len(wanted), -1, np.int64)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[at] == wanted, self.number[at], -1)


def _names(segments: Sequence[Segments]) -> _Names:
    """Connections named by SYNs at any tap, and by SYN-ACKs where their 4-tuple has no SYN at any tap."""
    none = np.zeros(0, np.int64)
    asked = np.unique(np.concatenate([none, *(_syn_keys(part) for part in segments)]))
    answered = np.unique(np.concatenate([none, *(_synack_keys(part) for part in segments)]))
    keys = np.union1d(asked, answered[~np.isin(answered >> 33, asked >> 33)])

    # A generation's place is when the first tap that has its SYN (else its SYN-ACK) saw it.
    seen = np.full(len(keys), np.iinfo(np.int64).max)
    for part in reversed(segments):
        for hit, wanted in ((part.is_synack, _synack_keys(part)), (part.is_syn, _syn_keys(part))):
            at = np.searchsorted(keys, wanted)
            found = np.isin(wanted, keys)
            seen[at[found][::-1]] = part.time[hit][found][::-1]
    order = np.lexsort((seen, keys >> 33))
    place = np.empty(len(keys), np.int64)
    place[order] = np.arange(len(keys))
    ordered = keys[order]
    return _Names(ordered >> 33, (ordered >> 32 & 1).astype(np.bool_), ordered & 0xFFFFFFFF, keys, place)


def _key(pair: NDArray[np.int64], by_lower: NDArray[np.bool_], isn: NDArray[np.int64]) -> NDArray[np.int64]:
    """A connection in one number: 4-tuple, whether its lower end is the initiator, and the initiator's ISN."""
    return np.asarray(pair << 33 | by_lower.astype(np.int64) << 32 | isn & 0xFFFFFFFF)


def _syn_keys(part: Segments) -> NDArray[np.int64]:
    hit = part.is_syn
    return _key(part.pair[hit], part.forward[hit], part.seq[hit])


def _synack_keys(part: Segments) -> NDArray[np.int64]:
    hit = part.is_synack
    return _key(part.pair[hit], ~part.forward[hit], part.ack[hit] - 1)


def _assign(part: Segments, names: _Names, nearer: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each segment the number of its connection, -1 where nothing before it in its 4-tuple names one.

    ``nearer`` are keys of the SYNs that taps nearer to the client have seen.
    """
    if not len(part.rows):
        return np.zeros(0, np.int64)
    own = np.full(len(part.rows), -1, np.int64)
    own[part.is_syn] = names.find(_syn_keys(part))
    own[part.is_synack] = names.find(_synack_keys(part))

    order = np.argsort(part.pair, kind="stable")
    pair, mark = part.pair[order], own[order]
    first = np.searchsorted(names.pair, pair)
    # Numbers rise with 4-tuple and generation, so one running maximum serves all 4-tuples; and a late SYN-ACK of an
    # old generation does not take the rows of the new one with it.
    current = np.maximum.accumulate(mark)
    flow = np.where(mark >= 0, mark, np.where(current >= first, current, -1))
    # A tap that saw neither SYN nor SYN-ACK of the only connection of a 4-tuple lost them.
    amount = np.searchsorted(names.pair, pair, side="right") - first
    lost = (flow < 0) & (amount == 1) & ~np.isin(pair, pair[mark >= 0])
    out = np.empty(len(flow), np.int64)
    out[order] = np.where(lost | (flow < 0) & _behind_a_lost_syn(part, names, nearer)[order], first, flow)
    return out


def _behind_a_lost_syn(part: Segments, names: _Names, nearer: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Segments of the initiator with numbers right behind its first SYN of this 4-tuple, which a tap nearer to the
    client has seen.

    In front of every SYN at this tap they belong to it: that SYN was lost on the way here, and is sent again later.
    Segments of an older connection of the same ports have other numbers.
    """
    if not len(names.pair):
        return np.zeros(len(part.rows), np.bool_)
    first = np.minimum(np.searchsorted(names.pair, part.pair), len(names.pair) - 1)
    known = np.isin(_key(names.pair, names.by_lower, names.isn), nearer)[first] & (names.pair[first] == part.pair)
    ahead = (part.seq - names.isn[first]) & 0xFFFFFFFF
    return np.asarray(known & (part.forward == names.by_lower[first]) & (ahead < EARLY))


def _guess_client(ends: Ends, rest: NDArray[np.int64], names: _Names) -> NDArray[np.bool_]:
    """Whether the lower end is the client, for 4-tuples without a SYN.

    As in other connections of the 4-tuple; else the end that is a server elsewhere is the server; else the smaller
    port is.
    """
    server_of = np.where(names.by_lower[:, None], ends[names.pair, 3:], ends[names.pair, :3])
    servers = {tuple(end) for end in server_of.tolist()}
    known = dict(zip(names.pair.tolist(), names.by_lower.tolist(), strict=True))
    guess = []
    for pair, row in zip(rest.tolist(), ends[rest].tolist(), strict=True):
        lower, upper = tuple(row[:3]), tuple(row[3:])
        if pair in known:
            guess.append(known[pair])
        elif (lower in servers) != (upper in servers):
            guess.append(upper in servers)
        else:
            guess.append(lower[2] > upper[2])
    return np.array(guess, np.bool_)


def _ordinal(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each element how many equal ones come before it."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    start = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(groups) else np.zeros(0, int)
    counts = np.diff(np.append(start, len(groups)))
    out = np.empty(len(groups), np.int64)
    out[order] = np.arange(len(groups)) - np.repeat(start, counts)
    return out
