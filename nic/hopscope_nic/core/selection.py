"""Which flows are ours: `tcp:8080-8083`, as given on the command line. Everything else belongs to the kernel."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence, Tuple

DEFAULT = "tcp:8080-8083"


class PortRange(NamedTuple):
    """Server ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"tcp:{self.first}" if self.first == self.last else f"tcp:{self.first}-{self.last}"


def parse(text: str) -> PortRange:
    """Read "tcp:PORT" or "tcp:FIRST-LAST". ValueError, with a line to show, for anything else."""
    protocol, _, ports = text.partition(":")
    first, dash, last = ports.partition("-")
    if protocol != "tcp" or not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{text!r} is no flow: write tcp:8080 or tcp:8080-8083")
    chosen = PortRange(int(first), int(last if dash else first))
    if not 1 <= chosen.first <= chosen.last <= 65535:
        raise ValueError(f"{text!r}: ports go from 1 to 65535, the smaller one first")
    return chosen


def merge(ranges: Sequence[PortRange]) -> Tuple[PortRange, ...]:
    """The same ports as disjoint ranges in order, neighbours joined."""
    merged: List[PortRange] = []
    for one in sorted(ranges):
        if merged and one.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(one.last, merged[-1].last))
        else:
            merged.append(one)
    return tuple(merged)
