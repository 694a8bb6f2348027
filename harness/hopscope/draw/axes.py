"""Axes: where a value lies on a picture, and the round numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hopscope.draw.svg import line, text

STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` between ``start`` and ``stop`` (pixels); with ``log`` both are above 0."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Values outside lie on the edge."""
        low, high, value = (math.log10(each) if self.log else each for each in (self.low, self.high, self._in(value)))
        return self.start + (value - low) / (high - low or 1.0) * (self.stop - self.start)

    def _in(self, value: float) -> float:
        return min(max(value, self.low), self.high)

    def ticks(self) -> list[float]:
        """Round numbers within: powers of ten, or about five evenly."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        step = round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    if not least > 0 or not math.isfinite(least):
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in STEPS if step * power >= least * (1 - 1e-9)), 10 * power)


def across(scale: Scale, top: float, bottom: float, unit: str) -> Iterator[str]:
    """The lower axis, with lines upwards."""
    for value in scale.ticks():
        x = scale.at(value)
        yield line(x, top, x, bottom, "grid")
        yield text(x, bottom + 15, f"{value:g}", anchor="middle")
    yield line(scale.start, bottom, scale.stop, bottom, "lane")
    yield text(scale.stop, bottom + 30, unit, "note", anchor="end")


def upwards(scale: Scale, left: float, right: float) -> Iterator[str]:
    """The left axis, with lines to the right."""
    for value in scale.ticks():
        y = scale.at(value)
        yield line(left, y, right, y, "grid")
        yield text(left - 6, y + 3.5, f"{value:g}", anchor="end")
