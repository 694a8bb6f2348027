"""What became of every segment on its way over each link and through each box.

The segments at the tap before a stretch are matched with those at the tap behind it, one copy with one copy, in numbers
relative to the ISN that holds on each side (see ``view``), so that a translated segment has its twin's numbers. What is
left is told in ranges of bytes: *lost* where more copies went in than came out, *created* where more came out,
*changed* where they came out with other numbers or other bytes. Segments may be sent again, reordered and cut anew.

Judged are segments with payload or FIN of whole flows; on links SYN and RST as well. Boxes may answer and acknowledge
by themselves: handshakes and bare acknowledgements through them are other checks' business.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.alike import alike
from hopscope.checks.capture_health import complaints
from hopscope.checks.streams import Stream
from hopscope.checks.stretch import Stretch, between
from hopscope.checks.view import Ints, View, among, keys, view
from hopscope.wire import identity
from hopscope.wire.packets import ACK, FIN, RST, SYN, URG
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace


class Kind(StrEnum):
    LOST = "lost"
    CREATED = "created"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes [start, end) of one direction of a flow, relative to its ISN (SYN and FIN count), and what became of them.

    ``row`` of the tap ``seen_at`` is the segment that went in (lost) or came out (created, changed). ``field``,
    ``expected`` and ``seen`` tell of what was changed.
    """

    kind: Kind
    flow: int
    up: bool
    start: int
    end: int
    seen_at: Position
    row: int
    place: str
    """``between A and B``, or ``inside BOX``."""
    field: str = ""
    expected: str = ""
    seen: str = ""


@dataclass(frozen=True, eq=False)
class Passage:
    """One direction over one stretch."""

    stretch: Stretch
    up: bool
    place: str
    proven: bool
    """Both captures have counters that prove them whole: what is missing was lost, and not missed."""
    source: Position
    target: Position
    came: Ints
    """The flow of every segment that came out."""
    twins: tuple[Ints, Ints]
    """Rows of the taps ``source`` and ``target`` that are one segment."""
    ranges: tuple[Range, ...] = field(repr=False)

    def bytes_of(self, kind: Kind) -> int:
        return sum(each.end - each.start for each in self.ranges if each.kind is kind)

    def of(self, kind: Kind) -> list[Range]:
        return [each for each in self.ranges if each.kind is kind]


_known: WeakKeyDictionary[Trace, tuple[Passage, ...]] = WeakKeyDictionary()


def correlate(trace: Trace) -> tuple[Passage, ...]:
    """Both directions over every stretch between neighbouring taps, from the client on; worked out once for a trace."""
    if trace not in _known:
        _known[trace] = tuple(_correlate(trace))
    return _known[trace]


def _correlate(trace: Trace) -> list[Passage]:
    passages: list[Passage] = []
    seen: dict[Position, View] = {}
    stretches = between(trace)
    # On links handshakes count as well; where there are none, they need not be looked at.
    wanted = FIN if all(way.boxes for way in stretches) else SYN | FIN | RST
    for stretch in stretches:
        for position in (stretch.near, stretch.far):
            if position not in seen:
                packets = trace.taps[position].packets
                moving = (packets.payload_len > 0) | (packets.flags & wanted > 0)
                seen[position] = view(trace, position, trace.whole, moving)
        passages += (_passage(trace, stretch, up, seen) for up in (True, False))
        seen.pop(stretch.near)
    return passages


def _passage(trace: Trace, stretch: Stretch, up: bool, seen: dict[Position, View]) -> Passage:
    source, target = (stretch.near, stretch.far) if up else (stretch.far, stretch.near)
    before, after = (_judged(seen[position], up, link=not stretch.boxes) for position in (source, target))
    one_clock = trace.same_clock or trace.taps[source].host == trace.taps[target].host
    if alike(trace, stretch, up):
        first = second = np.arange(len(after))
    else:
        first, second = _twins(trace, before, after, one_clock=one_clock)
    names = trace.taps[source].name, trace.taps[target].name
    place = f"inside {' and '.join(stretch.boxes)}" if stretch.boxes else f"between {names[0]} and {names[1]}"
    ranges: list[Range] = []
    if first is not second:
        ranges += _changed(trace, before, after, first, second, place, link=not stretch.boxes)
        ranges += _unmatched(trace, before, after, first, second, place)
    proven = all(trace.taps[end].health is not None and not complaints(trace, end) for end in (source, target))
    twins = before.row[first], after.row[second]
    return Passage(stretch, up, place, proven, source, target, after.flow, twins, tuple(ranges))


def _judged(seen: View, up: bool, *, link: bool) -> View:
    handshake = seen.has(SYN) | seen.has(RST)
    filled = (seen.length > 0) | seen.has(FIN)
    wanted = filled | handshake if link else filled & ~handshake
    return seen[(seen.up == up) & wanted & seen.placed]


def _twins(trace: Trace, before: View, after: View, *, one_clock: bool) -> tuple[Ints, Ints]:
    """Indices of segments on both sides that are one and the same, each in at most one pair."""
    key_in, key_out = _key(before), _key(after)
    order_in, order_out = np.lexsort((before.time, key_in)), np.lexsort((after.time, key_out))
    values_in, start_in, count_in = np.unique(key_in[order_in], return_index=True, return_counts=True)
    values_out, start_out, count_out = np.unique(key_out[order_out], return_index=True, return_counts=True)
    _, at_in, at_out = np.intersect1d(values_in, values_out, assume_unique=True, return_indices=True)
    even = count_in[at_in] == count_out[at_out]
    # As many copies on both sides: the first is the first.
    first = [order_in[_runs(start_in[at_in[even]], count_in[at_in[even]])]]
    second = [order_out[_runs(start_out[at_out[even]], count_out[at_out[even]])]]
    for one, other in zip(at_in[~even].tolist(), at_out[~even].tolist(), strict=True):
        ins = order_in[start_in[one] : start_in[one] + count_in[one]]
        outs = order_out[start_out[other] : start_out[other] + count_out[other]]
        pairs = _paired(trace, before, after, ins.tolist(), outs.tolist(), one_clock=one_clock)
        first.append(np.array([a for a, _ in pairs], np.int64))
        second.append(np.array([b for _, b in pairs], np.int64))
    return np.concatenate(first), np.concatenate(second)


def _key(seen: View) -> NDArray[np.uint64]:
    return keys(seen.flow, seen.seq, seen.length, seen.flags & (SYN | FIN | RST))


def _runs(start: Ints, count: Ints) -> Ints:
    """start[0], start[0] + 1 … for count[0] numbers, then those of the next run."""
    if not len(start):
        return np.zeros(0, np.int64)
    skipped = np.repeat(start - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
    return np.asarray(skipped + np.arange(len(skipped)))


def _paired(
    trace: Trace, before: View, after: View, ins: list[int], outs: list[int], *, one_clock: bool
) -> list[tuple[int, int]]:
    """Copies of one segment, of which some were lost or made: which of them went through.

    One that keeps its IP identification is told by that; else the latest that went in before this one came out.
    """
    ident_in, ident_out = (trace.taps[seen.position].packets.ip_id[seen.row] for seen in (before, after))
    left, pairs = list(ins), []
    rest = []
    for out in outs:
        same = [one for one in left if ident_in[one] == ident_out[out] and ident_out[out]]
        if len(same) == 1:
            left.remove(same[0])
            pairs.append((same[0], out))
        else:
            rest.append(out)
    for out in reversed(rest):
        earlier = [one for one in left if not one_clock or before.time[one] <= after.time[out]]
        if earlier:
            left.remove(earlier[-1])
            pairs.append((earlier[-1], out))
    return pairs


def _changed(
    trace: Trace, before: View, after: View, first: Ints, second: Ints, place: str, *, link: bool
) -> Iterator[Range]:
    """Twins of which something else than the numbers they are matched by is different."""
    source, target = (trace.taps[seen.position].packets for seen in (before, after))
    row_in, row_out = before.row[first], after.row[second]
    kept_in, kept_out = (
        np.minimum(p.payload_len[row], p.offset[row] + p.caplen[row] - p.payload_offset[row])
        for p, row in ((source, row_in), (target, row_out))
    )
    kept = np.maximum(np.minimum(kept_in, kept_out), 0).astype(np.int64)
    equal = identity.same(source.data, source.payload_offset[row_in], target.data, target.payload_offset[row_out], kept)

    def told(pair: int, name: str, expected: str, seen: str) -> Range:
        return _altered(after, int(second[pair]), place, name, expected, seen)

    for pair in np.flatnonzero(~equal).tolist():
        was, now = source.payload(int(row_in[pair])), target.payload(int(row_out[pair]))
        at = next(n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b)
        yield told(pair, f"payload byte {at}", f"0x{was[at]:02x}", f"0x{now[at]:02x}")
    whole = ACK | SYN | FIN | RST | URG
    for pair in np.flatnonzero((before.flags[first] ^ after.flags[second]) & whole).tolist():
        yield told(pair, "flags", f"0x{before.flags[first[pair]]:02x}", f"0x{after.flags[second[pair]]:02x}")
    moved = before.acks[first] & after.acks[second] & (before.ack[first] != after.ack[second])
    for pair in np.flatnonzero(moved & (link | (before.length[first] > 0))).tolist():
        off = int(after.ack[second[pair]] - before.ack[first[pair]])
        yield told(pair, "ack", str((int(target.ack[row_out[pair]]) - off) % 2**32), str(target.ack[row_out[pair]]))


def _unmatched(trace: Trace, before: View, after: View, first: Ints, second: Ints, place: str) -> Iterator[Range]:
    """Ranges that went in more often than they came out, or the other way round."""
    lone_in, lone_out = np.ones(len(before), bool), np.ones(len(after), bool)
    lone_in[first], lone_out[second] = False, False
    lost, made = before[lone_in], after[lone_out]
    renumbered = _renumbered(trace, lost, made)
    for one, other in renumbered:
        packets = trace.taps[made.position].packets
        off = int(made.seq[other] - lost.seq[one])
        seen = int(packets.seq[made.row[other]])
        yield _altered(made, other, place, "seq", str((seen - off) % 2**32), str(seen))
    lost = lost[np.setdiff1d(np.arange(len(lost)), [one for one, _ in renumbered])]
    made = made[np.setdiff1d(np.arange(len(made)), [other for _, other in renumbered])]
    yield from _recut(trace, lost, made, place)
    flow, start, end, surplus = _balance(lost, made)
    for kind, side in ((Kind.LOST, lost), (Kind.CREATED, made)):
        mine = surplus > 0 if kind is Kind.LOST else surplus < 0
        row = _shown_by(side, flow[mine], start[mine])
        for each, a, b, at in zip(flow[mine].tolist(), start[mine].tolist(), end[mine].tolist(), row, strict=True):
            yield Range(kind, each, bool(side.up[at]), a, b, side.position, int(side.row[at]), place)


def _recut(trace: Trace, lost: View, made: View, place: str) -> Iterator[Range]:
    """Of segments that came out in other pieces than they went in, those whose bytes are not the same."""
    source, target = (trace.taps[seen.position].packets for seen in (lost, made))
    streams: dict[int, Stream] = {}
    for at in np.flatnonzero(among(made.flow, lost.flow) & (made.length > 0)).tolist():
        flow, start = int(made.flow[at]), int(made.seq[at])
        if flow not in streams:
            streams[flow] = Stream(source, lost[lost.flow == flow])
        now = target.payload(int(made.row[at]))
        found = streams[flow].read(start, start + int(made.length[at]))
        was = now if found is None else found[0]
        differ = next((n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), None)
        if differ is not None:
            yield _altered(made, at, place, f"payload byte {differ}", f"0x{was[differ]:02x}", f"0x{now[differ]:02x}")


def _altered(after: View, at: int, place: str, name: str, expected: str, seen: str) -> Range:
    """The segment at this index of those that came out, and what of it was changed."""
    return Range(
        Kind.CHANGED, int(after.flow[at]), bool(after.up[at]), int(after.seq[at]), int(after.end[at]), after.position,
        int(after.row[at]), place, name, expected, seen,
    )  # fmt: skip


def _renumbered(trace: Trace, lost: View, made: View) -> list[tuple[int, int]]:
    """Segments that went in with one number and came out with another, told by their flow, flags and bytes."""
    waiting: dict[tuple[int, int, bytes], deque[int]] = defaultdict(deque)
    for one, key in enumerate(_contents(trace, lost)):
        waiting[key].append(one)
    pairs = []
    for other, key in enumerate(_contents(trace, made)):
        if waiting.get(key):
            pairs.append((waiting[key].popleft(), other))
    return pairs


def _contents(trace: Trace, seen: View) -> Iterator[tuple[int, int, bytes]]:
    packets, flags = trace.taps[seen.position].packets, seen.flags & (SYN | FIN | RST)
    for flow, row, bits in zip(seen.flow.tolist(), seen.row.tolist(), flags.tolist(), strict=True):
        yield flow, bits, packets.payload(row)


def _balance(lost: View, made: View) -> tuple[Ints, Ints, Ints, Ints]:
    """(flow, start, end, copies that went in less copies that came out), where that is not 0."""
    flow = np.concatenate([lost.flow, lost.flow, made.flow, made.flow])
    at = np.concatenate([lost.seq, lost.end, made.seq, made.end])
    one, other = np.ones(len(lost), np.int64), np.ones(len(made), np.int64)
    step = np.concatenate([one, -one, -other, other])
    order = np.lexsort((at, flow))
    flow, at, step = flow[order], at[order], step[order]
    copies = np.cumsum(step)  # every range that begins in a flow ends in it: the sum is 0 where the next one begins
    if not len(flow):
        return flow, at, at, copies
    # One entry for each place where something begins or ends: the last of those that are equal.
    last = np.append((flow[1:] != flow[:-1]) | (at[1:] != at[:-1]), True)
    flow, at, copies = flow[last], at[last], copies[last]
    joined = np.append(False, (copies[:-1] != 0) & (copies[1:] == copies[:-1]))
    first = np.flatnonzero((copies != 0) & ~joined)
    ends = np.flatnonzero((copies != 0) & ~np.append(joined[1:], False)) + 1
    return flow[first], at[first], at[ends], copies[first]


def _shown_by(side: View, flow: Ints, start: Ints) -> list[int]:
    """For each range the segment of its side that has its first byte."""
    found = []
    order = np.lexsort((side.seq, side.flow))
    for one, at in zip(flow.tolist(), start.tolist(), strict=True):
        low, high = np.searchsorted(side.flow[order], [one, one + 1])
        mine = order[low:high]
        having = mine[(side.seq[mine] <= at) & (at < side.end[mine])]
        found.append(int(having[-1] if len(having) else mine[0]))
    return found
