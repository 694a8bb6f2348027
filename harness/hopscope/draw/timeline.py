"""A window over time: counts in bins, a panel for each thing that was counted, one above the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hopscope.draw.axes import Scale, across, round_step
from hopscope.draw.svg import element, line, number, picture, text

WIDTH, LEFT, RIGHT, TOP, PANEL, BETWEEN = 720.0, 60.0, 700.0, 52.0, 58.0, 24.0


@dataclass(frozen=True)
class Panel:
    """``counts`` of as many bins as every panel of a picture has; ``kind`` is a colour of the style."""

    name: str
    counts: Sequence[float]
    kind: str


def draw(title: str, panels: Sequence[Panel], seconds: float, *, name: str = "time", styled: bool = True) -> str:
    """As SVG; the window is ``seconds`` long, and begins at 0."""
    scale = Scale(0.0, seconds or 1.0, LEFT, RIGHT)
    bottom = TOP + len(panels) * (PANEL + BETWEEN)
    body = [text(16, 22, title, "title"), *across(scale, TOP, bottom, "seconds")]
    for at, panel in enumerate(panels):
        body += _panel(panel, TOP + at * (PANEL + BETWEEN) + BETWEEN, scale)
    told = "; ".join(f"{panel.name}: {sum(panel.counts):,g} in all" for panel in panels)
    return picture(WIDTH, bottom + 42, body, title=title, description=told, name=name, styled=styled)


def _panel(panel: Panel, top: float, scale: Scale) -> Iterator[str]:
    most = max(panel.counts, default=0.0)
    high = round_step(most) if most else 1.0
    counts = Scale(0.0, high, top + PANEL, top)
    yield line(LEFT, counts.at(0), RIGHT, counts.at(0), "lane")
    yield text(LEFT - 6, top + 8, f"{high:g}", anchor="end")
    yield text(LEFT - 6, top + PANEL, "0", anchor="end")
    yield text(LEFT + 4, top - 5, f"{panel.name}: {sum(panel.counts):,g}", "on")
    width = (RIGHT - LEFT) / max(1, len(panel.counts))
    path = "".join(
        f"M{number(LEFT + at * width)} {number(counts.at(0))}V{number(counts.at(count))}h{number(width)}"
        f"V{number(counts.at(0))}Z"
        for at, count in enumerate(panel.counts)
        if count
    )
    if path:
        yield element("path", d=path, class_=f"area {panel.kind}")
