"""Durations side by side on a logarithmic axis: 1 to 99 % as a line, the middle half thick, the median a tick."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hopscope.draw.axes import Scale, across
from hopscope.draw.svg import line, picture, text

WIDTH, LEFT, RIGHT, TOP, ROW = 720.0, 240.0, 640.0, 44.0, 24.0
LEAST_MS = 1e-4


@dataclass(frozen=True)
class Spread:
    """Quantiles in milliseconds: 1, 25, 50, 75 and 99 %."""

    name: str
    quantiles: tuple[float, float, float, float, float]


def draw(title: str, spreads: Sequence[Spread], *, name: str = "spread", styled: bool = True) -> str:
    """As SVG, a row for each."""
    values = [max(each, LEAST_MS) for spread in spreads for each in spread.quantiles] or [1.0]
    scale = Scale(min(values) / 1.5, max(values) * 1.5, LEFT, RIGHT, log=True)
    bottom = TOP + ROW * len(spreads)
    body = [text(16, 22, title, "title"), *across(scale, TOP - 8, bottom, "ms")]
    for at, spread in enumerate(spreads):
        body += _row(spread, TOP + ROW * at + 8, scale)
    told = "; ".join(f"{each.name}: median {each.quantiles[2]:.3f} ms" for each in spreads)
    return picture(WIDTH, bottom + 40, body, title=title, description=told, name=name, styled=styled)


def _row(spread: Spread, y: float, scale: Scale) -> Iterator[str]:
    least, lower, middle, upper, most = (scale.at(max(each, LEAST_MS)) for each in spread.quantiles)
    yield text(LEFT - 8, y + 4, spread.name, anchor="end")
    yield line(least, y, most, y, "arrow real")
    yield line(lower, y, upper, y, "arrow real marked")
    yield line(middle, y - 7, middle, y + 7, "arrow edge")
    yield text(RIGHT + 8, y + 4, f"{spread.quantiles[2]:.3f}")
