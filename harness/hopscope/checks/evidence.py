"""Evidence from rows of a trace: the flow, the tap, the frames and a Wireshark filter that shows them."""

from __future__ import annotations

from collections.abc import Iterable

from hopscope.checks.verdict import Evidence
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace


def of_rows(
    trace: Trace, position: Position, rows: Iterable[int], *, expected: str, seen: str, flow: int | None = None
) -> Evidence:
    """What the rows of one tap show. ``flow`` is an index of the trace, looked up from the first row when not given."""
    tap = trace.taps[position]
    numbers = [int(row) for row in rows]
    if flow is None and numbers:
        found = int(trace.flow_of[position][numbers[0]])
        flow = found if found >= 0 else None
    return Evidence(
        flow=trace.flows[flow].label if flow is not None else None,
        tap=tap.file,
        frames=tuple(int(tap.packets.frame[row]) for row in numbers),
        expected=expected,
        seen=seen,
        filter=display_filter(trace, flow) if flow is not None else None,
    )


def display_filter(trace: Trace, flow: int) -> str:
    """A Wireshark display filter for one flow."""
    one = trace.flows[flow]
    family = "ip" if one.client[0].version == 4 else "ipv6"
    return (
        f"{family}.addr=={one.client[0]} && tcp.port=={one.client[1]} && "
        f"{family}.addr=={one.server[0]} && tcp.port=={one.server[1]}"
    )


def milliseconds(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"


def count(number: int, noun: str) -> str:
    """``1 flow``, ``2 flows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def mac_text(mac: int) -> str:
    """``02:00:00:00:00:01``."""
    return ":".join(f"{mac:012x}"[at : at + 2] for at in range(0, 12, 2))
