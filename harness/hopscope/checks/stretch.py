"""The chain in stretches: what lies between two neighbouring taps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Trace


@dataclass(frozen=True)
class Stretch:
    """Two neighbouring taps: the client's side, the server's, and the boxes between them (none on a link)."""

    near: Position
    far: Position
    boxes: tuple[str, ...]
    name: str


def between(trace: Trace) -> list[Stretch]:
    """The stretches between neighbouring taps, from the client on."""
    found = []
    for near, far in pairwise(trace.taps):
        boxes = tuple(box for box, sides in BOXES.items() if near <= sides[0] and sides[1] <= far)
        name = " and ".join(boxes) or f"the link {trace.taps[near].name}--{trace.taps[far].name}"
        found.append(Stretch(near, far, boxes, name))
    return found
