"""How large a share of flows had a latency by then: a curve of plain TCP and one of the system under test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hopscope.draw.axes import Scale, across, upwards
from hopscope.draw.svg import element, line, number, picture, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720.0, 300.0, 50.0, 700.0, 58.0, 235.0
KINDS = ("real", "spoofed", "translated", "lost")
"""Colour and dash of the curves, in their order."""
POINTS = 200
"""Of a curve; more would not be seen."""
SHOWN = 0.995
"""The axis ends where so large a share of every curve is."""


@dataclass(frozen=True)
class Curve:
    """Values in milliseconds, in any order; NaN is a flow that never got there, and keeps the curve below 1."""

    name: str
    values: Sequence[float]


def draw(
    title: str, curves: Sequence[Curve], marks: Mapping[str, float], *, name: str = "ecdf", styled: bool = True
) -> str:
    """As SVG. ``marks`` are moments in milliseconds with their names. Curves without a value are left out."""
    known = [(curve, sorted(value for value in curve.values if math.isfinite(value))) for curve in curves]
    known = [(curve, values) for curve, values in known if values]
    most = max((values[math.ceil(SHOWN * len(values)) - 1] for _, values in known), default=1.0)
    scale = Scale(0.0, max([most, *marks.values()]) * 1.05 or 1.0, LEFT, RIGHT)
    shares = Scale(0.0, 1.0, BOTTOM, TOP)
    body = [text(16, 22, title, "title"), *upwards(shares, LEFT, RIGHT), *across(scale, TOP, BOTTOM, "ms")]
    for told, moment in marks.items():
        x = scale.at(moment)
        body += [line(x, TOP - 4, x, BOTTOM, "arrow dim"), text(x, TOP - 8, told, "on note", anchor="middle")]
    for at, (curve, values) in enumerate(known):
        kind = KINDS[at % len(KINDS)]
        body.append(element("path", d=_steps(values, len(curve.values), scale, shares), class_=f"curve {kind}"))
        body += _named(at, kind, curve, values)
    medians = "; ".join(f"{curve.name} {_median(values):.3f} ms" for curve, values in known)
    told = f"Shares of flows over {title}. Medians: {medians or 'no values'}."
    return picture(WIDTH, HEIGHT, body, title=title, description=told, name=name, styled=styled)


def _steps(values: Sequence[float], whole: int, scale: Scale, shares: Scale) -> str:
    places = sorted({round(step * (len(values) - 1) / POINTS) for step in range(POINTS + 1)})
    path = [f"M{number(scale.start)} {number(shares.at(0))}"]
    for place in places:
        path.append(f"H{number(scale.at(values[place]))}V{number(shares.at((place + 1) / whole))}")
    return "".join([*path, f"H{number(scale.stop)}"])


def _named(at: int, kind: str, curve: Curve, values: Sequence[float]) -> Iterator[str]:
    x = LEFT + at * 320
    yield line(x, HEIGHT - 22, x + 36, HEIGHT - 22, f"curve {kind}")
    never = len(curve.values) - len(values)
    told = f"{curve.name}: median {_median(values):.3f} ms of {len(curve.values):,}"
    yield text(x + 44, HEIGHT - 18, told + (f", {never:,} never" if never else ""))


def _median(values: Sequence[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
