"""One flow as a picture: what is drawn of it, from the captures. What a box made, and what it translated, is told apart
by what came into the box before, not by anybody's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from hopscope.checks.view import server_base
from hopscope.draw.ladder import Arrow, Bracket, Kind, Ladder, draw
from hopscope.report.segments import Row, Seen, relative, rows
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Flow, Trace

MAX_ROWS = 60
HEAD_ROWS = 40
"""Of a flow that has more segments than that, so many from its beginning are drawn, and the rest from its end."""

LANES = ("client", "clientnic", "servernic", "server")
_LANE = (0, 1, 1, 2, 2, 3)
_THROUGH = dict(BOXES.values()) | {far: near for near, far in BOXES.values()}
"""The other port of the box that has this one."""


def svg(
    trace: Trace, index: int, *, marked: Collection[tuple[str, int]] = (), name: str = "ladder", styled: bool = True,
    max_rows: int = MAX_ROWS,
) -> str:  # fmt: skip
    """The flow of this index as SVG; ``marked`` are frames (tap file, number) to point at."""
    return draw(picture(trace, index, marked=marked, max_rows=max_rows), name=name, styled=styled)


def picture(trace: Trace, index: int, *, marked: Collection[tuple[str, int]] = (), max_rows: int = MAX_ROWS) -> Ladder:
    """What is to be drawn of the flow of this index."""
    flow = trace.flows[index]
    found = rows(trace, flow, marked)
    look = _Look(trace, flow, found)
    arrows = every = [look.arrow(row) for row in found]
    left_out = None
    if len(arrows) > max_rows:
        first = min(HEAD_ROWS, max_rows - 1)
        left_out = (first - 1, len(arrows) - max_rows)
        arrows = [*arrows[:first], *arrows[first - max_rows :]]
    notes = [] if trace.same_clock else ["every host has its own clock: times are aligned as well as packets allow"]
    notes += [f"{LANES[_LANE[at]]}: no capture" for at in (0, 5) if Position(at) not in trace.taps]
    return Ladder(
        title=f"{flow.label.replace(' > ', ' → ')} · {flow.placement.value}",
        subtitle=_subtitle(trace, flow, found, {arrow.kind for arrow in every}),
        lanes=LANES,
        arrows=arrows,
        bracket=_bracket(found),
        left_out=left_out,
        notes=notes,
    )


class _Look:
    """What kind of segment each row is."""

    def __init__(self, trace: Trace, flow: Flow, found: Sequence[Row]) -> None:
        self._trace = trace
        self._base = {position: int(server_base(trace, position)[flow.index]) for position in Position}
        self._came: dict[tuple[Position, bool], list[Seen]] = {}
        for row in found:
            if row.arrived is not None:
                self._came.setdefault((row.arrived.position, row.up), []).append(row.arrived)
        self._before: Counter[tuple[object, ...]] = Counter()

    def arrow(self, row: Row) -> Arrow:
        seen = row.seen
        source, target = row.hop if row.up else row.hop[::-1]
        blind = any(end not in self._trace.taps for end in row.hop)
        kind, words = self._kind(row, source)
        again = (row.hop, row.up, seen.seq, seen.length, seen.flags & (SYN | FIN))
        if seen.length or seen.flags & (SYN | FIN):
            words += ["again"] * bool(self._before[again])
            self._before[again] += 1
        if row.arrived is None and not blind:
            kind = Kind.LOST
            words.append("lost")
        frames = [str(end.frame) if end else "" for end in (row.left, row.arrived)]
        remark = f" ({', '.join(words)})" if words else ""
        told = f"{seen.text}{remark}  [{'→'.join(frames)}]"
        return Arrow(
            source=_LANE[source],
            target=_LANE[target],
            left_ns=row.left.time if row.left else None,
            arrived_ns=row.arrived.time if row.arrived else None,
            kind=kind,
            told=told,
            detail=self._detail(row),
            marked=row.marked,
            blind=blind,
        )

    def _kind(self, row: Row, source: Position) -> tuple[Kind, list[str]]:
        seen = row.seen
        if self._made(row, source):
            return Kind.SPOOFED, ["spoofed"]
        origin = self._base[Position.CLIENT if row.up else Position.SERVER]
        here = self._base[seen.position]
        if origin < 0 or here < 0 or origin == here or (row.up and not seen.flags & ACK) or seen.flags & RST:
            return Kind.REAL, []
        value = seen.ack if row.up else seen.seq
        near, far = (abs(relative(value, base) or 0) for base in (here, origin))
        return (Kind.TRANSLATED, []) if near < far else (Kind.REAL, ["not translated"])

    def _made(self, row: Row, source: Position) -> bool:
        """It leaves a box into which nothing like it had come."""
        behind = _THROUGH.get(source)
        if row.left is None or behind is None or behind not in self._trace.taps:
            return False
        one = row.left
        return not any(
            came.time <= one.time and (came.content == one.content or (came.seq, came.length) == (one.seq, one.length))
            for came in self._came.get((behind, row.up), ())
        )

    def _detail(self, row: Row) -> str:
        """Where it was seen, frame by frame, with the numbers as they are on the wire."""
        parts = [row.seen.text]
        for word, end in (("left", row.left), ("arrived", row.arrived)):
            if end is not None:
                tap = self._trace.taps[end.position].name
                parts.append(f"{word}: {tap} frame {end.frame}, seq {end.seq}, ack {end.ack}")
        if row.left and row.arrived:
            parts.append(f"{(row.arrived.time - row.left.time) / 1e6:.3f} ms on the way")
        return "\n".join(parts)


def _bracket(found: Sequence[Row]) -> Bracket | None:
    """From the client's first SYN to the first byte that it got."""
    ends = [end for row in found for end in (row.left, row.arrived) if end and end.position is Position.CLIENT]
    syn = next((end.time for end in ends if end.flags & (SYN | ACK) == SYN), None)
    first = next((row.arrived.time for row in _to_client(found) if row.arrived and row.arrived.length), None)
    if syn is None or first is None:
        return None
    return Bracket(syn, first, f"TTFB {(first - syn) / 1e6:.1f} ms")


def _to_client(found: Sequence[Row]) -> list[Row]:
    here = [row for row in found if not row.up and row.hop[0] is Position.CLIENT and row.arrived]
    return sorted(here, key=lambda row: row.arrived.time if row.arrived else 0)


def _subtitle(trace: Trace, flow: Flow, found: Sequence[Row], kinds: Collection[Kind]) -> str:
    parts = [f"{len(found)} segments on their links"]
    lost: Counter[tuple[Position, Position]] = Counter()
    for row in found:
        if row.arrived is None and all(end in trace.taps for end in row.hop):
            lost[row.hop if row.up else row.hop[::-1]] += 1
    parts += [
        f"{number} lost between {trace.taps[source].name} and {trace.taps[target].name}"
        for (source, target), number in lost.items()
    ]
    if flow.translator:
        parts.append(f"translated by {flow.translator}" if Kind.TRANSLATED in kinds else "nothing of it was translated")
    if trace.rtt_ns:
        parts.append(f"idle round trip {trace.rtt_ns / 1e6:.2f} ms")
    return " · ".join(parts)
