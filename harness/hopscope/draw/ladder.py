"""One flow over its hosts: lanes downwards in time, a sloped arrow for each segment on each link.

Heights are true times with the gaps compressed: every moment has a row of its own, and a longer gap a little more.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hopscope.draw.svg import element, line, number, picture, text

FIRST_LANE, BETWEEN, MARGIN = 96.0, 308.0, 60.0
TOP, ROW = 120.0, 15.0
GAP_NS, GAP_STRETCH = 200_000, 9.0
"""A gap takes :data:`GAP_STRETCH` pixels more for each tenfold of :data:`GAP_NS`."""
HEAD, LETTER = 9.0, 5.4
CLOSE = 11.0
"""Labels nearer than that, one above the other, cover each other."""
_Taken = defaultdict[int, list[tuple[float, float]]]
"""Places of labels, in bands as high as :data:`CLOSE`."""
_ALONG = (-1.0, -0.6, -0.2, 0.2, 0.6, 1.0)
"""Places along a label at which it is compared with others."""
LOST_AT = 0.55
"""Share of a link on which an arrow that got lost is drawn."""


class Kind(StrEnum):
    REAL = "real"
    SPOOFED = "spoofed"
    TRANSLATED = "translated"
    LOST = "lost"


MEANINGS = {
    Kind.REAL: "real",
    Kind.SPOOFED: "spoofed: made by a box",
    Kind.TRANSLATED: "translated",
    Kind.LOST: "lost",
}


@dataclass(frozen=True)
class Arrow:
    """``source`` and ``target`` are lanes. ``left_ns`` or ``arrived_ns`` is None where that end did not see it;
    ``blind`` says that it has no capture, so that nothing is said to be lost. ``detail`` is shown to who points at it.
    """

    source: int
    target: int
    left_ns: int | None
    arrived_ns: int | None
    kind: Kind
    told: str
    detail: str = ""
    marked: bool = False
    blind: bool = False

    @property
    def time_ns(self) -> int:
        found = self.left_ns if self.left_ns is not None else self.arrived_ns
        assert found is not None
        return found


@dataclass(frozen=True)
class Bracket:
    """A stretch of time at the first lane."""

    start_ns: int
    end_ns: int
    told: str


@dataclass(frozen=True)
class Ladder:
    """Arrows are in order of time. ``left_out`` are so many after the arrow of this index: (index, count)."""

    title: str
    subtitle: str
    lanes: Sequence[str]
    arrows: Sequence[Arrow]
    bracket: Bracket | None = None
    left_out: tuple[int, int] | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def draw(ladder: Ladder, *, name: str = "ladder", styled: bool = True) -> str:
    """As SVG; times are told from the first of the arrows."""
    rows = _Rows(ladder)
    x = [FIRST_LANE + BETWEEN * lane for lane in range(len(ladder.lanes))]
    paths = [_path(arrow, x, rows) for arrow in ladder.arrows]
    width = x[-1] + MARGIN + 20
    body = [
        text(16, 24, ladder.title, "title"),
        text(16, 43, ladder.subtitle, "note"),
        *_lanes(ladder, x, rows.bottom),
        *_moments(rows, x),
        *(part for path in paths for part in _arrow(path)),
        *_labels(paths),
        *_break(ladder, rows, x),
        *_bracket(ladder.bracket, rows),
        *_legend(rows.bottom + 32),
        *(text(16, rows.bottom + 54 + 15 * at, note, "note") for at, note in enumerate(ladder.notes)),
    ]
    height = rows.bottom + 50 + 15 * len(ladder.notes)
    told = f"{ladder.subtitle}. {len(ladder.arrows)} segments between {', '.join(ladder.lanes)}."
    return picture(width, height, body, title=ladder.title, description=told, name=name, styled=styled)


class _Rows:
    """The height of each moment."""

    def __init__(self, ladder: Ladder) -> None:
        moments = {moment for each in ladder.arrows for moment in (each.left_ns, each.arrived_ns) if moment is not None}
        self.times = sorted(moments)
        self.start = self.times[0] if self.times else 0
        self.of: dict[int, float] = {}
        broken = None if ladder.left_out is None else ladder.arrows[ladder.left_out[0] + 1].time_ns
        self.break_at: float | None = None
        y, before = TOP - ROW, self.start
        for moment in self.times:
            gap = moment - before
            y += ROW + (GAP_STRETCH * math.log10(1 + gap / GAP_NS) if gap > GAP_NS else 0)
            if broken is not None and self.break_at is None and moment >= broken:
                self.break_at = y + ROW
                y += 2 * ROW
            self.of[moment], before = y, moment
        self.bottom = y + 26


def _lanes(ladder: Ladder, x: list[float], bottom: float) -> Iterator[str]:
    for at, host in zip(x, ladder.lanes, strict=True):
        yield element("rect", x=at - 58, y=60, width=116, height=26, rx=4, class_="box")
        yield text(at, 77.5, host, "strong", anchor="middle")
        yield line(at, 86, at, bottom, "lane")


def _moments(rows: _Rows, x: list[float]) -> Iterator[str]:
    grid = "".join(f"M{number(x[0])} {number(y)}H{number(x[-1])}" for y in rows.of.values())
    yield element("path", d=grid, class_="grid")
    for moment, y in rows.of.items():
        yield text(x[0] - 14, y + 3.5, f"{(moment - rows.start) / 1e6:.3f} ms", anchor="end")


@dataclass(frozen=True)
class _Path:
    """Where an arrow is drawn; ``sign`` is 1 to the right. ``whole`` says that it has its head."""

    arrow: Arrow
    x1: float
    y1: float
    x2: float
    y2: float
    sign: int
    whole: bool

    @property
    def angle(self) -> float:
        return math.atan2(self.y2 - self.y1, self.x2 - self.x1)

    def at(self, share: float) -> tuple[float, float]:
        return self.x1 + share * (self.x2 - self.x1), self.y1 + share * (self.y2 - self.y1)


def _path(arrow: Arrow, x: list[float], rows: _Rows) -> _Path:
    start, stop = x[arrow.source], x[arrow.target]
    y = rows.of[arrow.time_ns]
    x1, y1, x2 = start, y, stop
    y2 = rows.of[arrow.arrived_ns] if arrow.arrived_ns is not None else y if arrow.blind else y + ROW * 0.6
    if arrow.arrived_ns is None and not arrow.blind:
        x2 = start + (stop - start) * LOST_AT
    if arrow.left_ns is None and not arrow.blind:
        x1, y1 = stop - (stop - start) * LOST_AT, y - ROW * 0.6
    return _Path(arrow, x1, y1, x2, y2, 1 if stop > start else -1, arrow.arrived_ns is not None or arrow.blind)


def _arrow(path: _Path) -> Iterator[str]:
    arrow, kind, angle = path.arrow, path.arrow.kind.value, path.angle
    back = HEAD * 0.8 if path.whole else 0.0
    end = path.x2 - back * math.cos(angle), path.y2 - back * math.sin(angle)
    yield line(path.x1, path.y1, *end, f"arrow {kind}{' marked' if arrow.marked else ''}")
    yield _head(path.x2, path.y2, angle, kind) if path.whole else _cross(path.x2, path.y2, kind)
    if arrow.left_ns is None and not arrow.blind:
        yield text(path.x1 - 8 * path.sign, path.y1 + 4, "?", f"strong {kind}", anchor="middle")


def _labels(paths: Sequence[_Path]) -> Iterator[str]:
    """Each along its arrow, at the place where it covers the least of those before it."""
    taken: _Taken = defaultdict(list)
    for path in sorted(paths, key=lambda path: path.whole):  # those of what got lost have the least choice
        arrow = path.arrow
        told = f"{'▶ ' if arrow.marked else ''}{arrow.told}"
        slope = math.atan2((path.y2 - path.y1) * path.sign, abs(path.x2 - path.x1))
        half = LETTER * len(told) / 2
        places = [
            _Place(x, y, [(x + part * half * math.cos(slope), y + part * half * math.sin(slope)) for part in _ALONG])
            for x, y in _places(path, half)
        ]
        best = min(places, key=lambda place: place.covers(taken, half))
        for x, y in best.points:
            taken[int(y // CLOSE)].append((x, y))
        kind = f"on {arrow.kind.value}{' strong' if arrow.marked else ''}"
        yield text(best.x, best.y, told, kind, anchor="middle", turned=math.degrees(slope), detail=arrow.detail)


def _places(path: _Path, half: float) -> Iterator[tuple[float, float]]:
    """Where the middle of a label may be, the best first: on its link, above its arrow or below."""
    if not path.whole:
        for above in (-4, 12):
            yield path.x1 + path.sign * (half + 8), path.at(0.5)[1] + above
        return
    room = max(0.0, 1 - (2 * half + 12) / BETWEEN)
    for above in (-4, 12):
        for share in (0.0, -0.3, 0.3, -0.5, 0.5):
            x, y = path.at(0.5 + share * room)
            yield x, y + above


@dataclass(frozen=True)
class _Place:
    x: float
    y: float
    points: list[tuple[float, float]]

    def covers(self, taken: _Taken, half: float) -> int:
        return sum(
            abs(x - other) < half / 3 and abs(y - beside) < CLOSE
            for x, y in self.points
            for band in range(int(y // CLOSE) - 1, int(y // CLOSE) + 2)
            for other, beside in taken.get(band, ())
        )


def _head(x: float, y: float, angle: float, kind: str) -> str:
    corners = [(x, y)]
    for turn in (0.42, -0.42):
        corners.append((x - HEAD * math.cos(angle + turn), y - HEAD * math.sin(angle + turn)))
    points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return element("polygon", points=points, class_=f"head {kind}")


def _cross(x: float, y: float, kind: str) -> str:
    reach = 5
    path = "".join(
        f"M{number(x - reach)} {number(y + way * reach)}L{number(x + reach)} {number(y - way * reach)}"
        for way in (1, -1)
    )
    return element("path", d=path, class_=f"arrow {kind}", style="stroke-dasharray:none;stroke-width:2.4")


def _break(ladder: Ladder, rows: _Rows, x: list[float]) -> Iterator[str]:
    if ladder.left_out is not None and rows.break_at is not None:
        yield line(x[0], rows.break_at, x[-1], rows.break_at, "dim")
        told = f"… {ladder.left_out[1]:,} segments left out …"
        yield text((x[0] + x[-1]) / 2, rows.break_at - 4, told, "on note", anchor="middle")


def _bracket(bracket: Bracket | None, rows: _Rows) -> Iterator[str]:
    if bracket is None or not {bracket.start_ns, bracket.end_ns} <= rows.of.keys():
        return
    y1, y2, x = rows.of[bracket.start_ns], rows.of[bracket.end_ns], FIRST_LANE - 9
    yield element("path", d=f"M{x + 5:g} {number(y1)}H{x:g}V{number(y2)}H{x + 5:g}", class_="arrow edge")
    yield text(FIRST_LANE + 13, (y1 + y2) / 2, bracket.told, "on strong", anchor="middle", turned=-90)


def _legend(y: float) -> Iterator[str]:
    x = 16.0
    for kind, told in MEANINGS.items():
        yield line(x, y - 4, x + 42, y - 4, f"arrow {kind.value}")
        yield text(x + 50, y, told)
        x += 70 + 6.2 * len(told)
    yield text(
        x + 10, y, "gaps compressed; times are true capture times; [frame at the sender → at the receiver]", "note"
    )
