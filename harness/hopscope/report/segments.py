"""One flow as segments on their way: each over one link, seen at either end or at both.

Numbers of a link's segments are relative to the ISNs that hold there, so a segment that is translated rightly keeps
them all the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hopscope.checks.view import server_base
from hopscope.wire.packets import ACK, FIN, PSH, RST, SYN, URG
from hopscope.wire.taps import HOPS, Position
from hopscope.wire.trace import Flow, Trace

_FLAGS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (URG, "URG"), (ACK, "ACK"))
_HALF = 2**31


@dataclass(frozen=True)
class Seen:
    """A segment at one tap. ``key`` is what no link changes of it, ``time`` is on the clock of the first tap."""

    time: int
    key: tuple[int, ...]
    text: str
    marked: bool
    position: Position
    frame: int
    flags: int
    length: int
    seq: int
    ack: int
    own: int
    """Where the numbers of its sender begin at this tap; -1 unknown."""
    other: int

    @property
    def content(self) -> tuple[int, int, int]:
        """What a box does not change of a segment that it translates, beside its numbers."""
        return relative(self.seq, self.own) or 0, self.flags & ~PSH, self.length


@dataclass(frozen=True)
class Row:
    """A segment over one link. ``left`` and ``arrived`` are None where that end did not see it, or has no tap."""

    hop: tuple[Position, Position]
    up: bool
    left: Seen | None
    arrived: Seen | None

    @property
    def seen(self) -> Seen:
        found = self.left or self.arrived
        assert found is not None
        return found

    @property
    def marked(self) -> bool:
        return any(end is not None and end.marked for end in (self.left, self.arrived))


def rows(trace: Trace, flow: Flow, marked: Collection[tuple[str, int]] = ()) -> list[Row]:
    """Every segment of the flow on every link, in order of time; ``marked`` are frames (tap file, number)."""
    found: list[Row] = []
    for hop in HOPS:
        for up in (True, False):
            source, target = hop if up else hop[::-1]
            found += _over(hop, up, _seen(trace, flow, source, up, marked), _seen(trace, flow, target, up, marked))
    return sorted(found, key=lambda row: row.seen.time)


def _over(hop: tuple[Position, Position], up: bool, left: list[Seen], arrived: list[Seen]) -> Iterator[Row]:
    """Segments matched one to one. Of copies of which some got lost, each that arrived is the last that can be it."""
    went: dict[tuple[int, ...], list[Seen]] = defaultdict(list)
    came: dict[tuple[int, ...], list[Seen]] = defaultdict(list)
    for ends, some in ((went, left), (came, arrived)):
        for one in some:
            ends[one.key].append(one)
    for key in {**went, **came}:
        copies, arrivals = went[key], came[key]
        if len(copies) == len(arrivals):
            yield from (Row(hop, up, *pair) for pair in zip(copies, arrivals, strict=True))
            continue
        while arrivals:
            last = arrivals.pop()
            while len(copies) > len(arrivals) + 1 and copies[-1].time > last.time:
                yield Row(hop, up, copies.pop(), None)
            yield Row(hop, up, copies.pop() if copies else None, last)
        yield from (Row(hop, up, one, None) for one in copies)


def _seen(trace: Trace, flow: Flow, position: Position, up: bool, marked: Collection[tuple[str, int]]) -> list[Seen]:
    if position not in trace.taps:
        return []
    tap, packets = trace.taps[position], trace.taps[position].packets
    client, server = int(trace.client_isn[flow.index]), int(server_base(trace, position)[flow.index])
    own, other = (client, server) if up else (server, client)
    ahead = _ahead(trace, position)
    found = []
    for row in flow.rows(position, to_server=up).tolist():
        flags, seq, ack = int(packets.flags[row]), int(packets.seq[row]), int(packets.ack[row])
        length, frame = int(packets.payload_len[row]), int(packets.frame[row])
        words = ["-".join(name for bit, name in _FLAGS if flags & bit) or "no flags", f"seq {_told(seq, own)}"]
        if flags & ACK:
            words.append(f"ack {_told(ack, other)}")
        elif ack:
            words.append(f"[ack field {ack}]")
        words += [f"len {length}"] if length else []
        key = (seq, ack, flags, length, int(packets.ip_id[row]), int(packets.tsval[row]))
        time, pointed = int(packets.time[row]) - ahead, (tap.file, frame) in marked
        told = " ".join(words)
        found.append(Seen(time, key, told, pointed, position, frame, flags, length, seq, ack, own, other))
    return found


def _ahead(trace: Trace, position: Position) -> int:
    """By how many ns the clock of a tap is ahead of that of the first, in the middle of what packets allow."""
    bounds = trace.clock_offset(min(trace.taps), position)
    return 0 if bounds is None else sum(bounds) // 2


def relative(value: int, base: int) -> int | None:
    """Distance from an ISN, signed; None where the ISN is not known."""
    return None if base < 0 else (value - base + _HALF) % 2**32 - _HALF


def _told(value: int, base: int) -> str:
    """The distance; the number itself, with =, where the ISN is not known."""
    found = relative(value, base)
    return f"={value}" if found is None else str(found)
