"""One flow across all taps as a text ladder: columns are ports, a row is a segment on its way over one link.

Numbers of a link's rows are relative to the ISNs that hold there, so a segment that is translated rightly keeps them
all the way.
"""

from __future__ import annotations

from collections.abc import Collection

from hopscope.report.segments import Row, rows
from hopscope.wire.taps import Position
from hopscope.wire.trace import Flow, Trace

MAX_ROWS = 120
HEAD_ROWS = 80
"""Of a flow that has more rows than that, so many from its beginning are shown, and the rest from its end."""

_LAN, _WAN, _BOX = 8, 14, 8
"""Characters between the two ends of a link, and between the two ports of a box."""
_X = {
    Position.CLIENT: 0,
    Position.CLIENTNIC_LAN: _LAN,
    Position.CLIENTNIC_WAN: _LAN + _BOX,
    Position.SERVERNIC_WAN: _LAN + _BOX + _WAN,
    Position.SERVERNIC_LAN: _LAN + 2 * _BOX + _WAN,
    Position.SERVER: 2 * _LAN + 2 * _BOX + _WAN,
}
_WIDTH = _X[Position.SERVER] + 1
_LEFT = 9
"""Characters in front of the columns: the time."""


def ladder(trace: Trace, index: int, *, marked: Collection[tuple[str, int]] = (), max_rows: int = MAX_ROWS) -> str:
    """The flow of this index, without a trailing newline; ``marked`` are frames (tap file, number) to point at."""
    flow = trace.flows[index]
    found = rows(trace, flow, marked)
    start = found[0].seen.time if found else 0
    lines = [_line(trace, row, start) for row in found]
    if len(lines) > max_rows:
        first = min(HEAD_ROWS, max_rows - 1)
        left_out = f"{'':{_LEFT}}... {len(lines) - max_rows:,} rows left out ..."
        lines = [*lines[:first], left_out, *lines[first - max_rows :]]
    text = [*_head(trace, flow), "", *_columns(trace), *lines]
    if any(row.marked for row in found):
        text += ["", "> in front: a frame that a verdict points at"]
    return "\n".join(line.rstrip() for line in text)


def find_flow(trace: Trace, text: str) -> int | None:
    """The flow that ``text`` names: its number from 1, its label, its client's ADDRESS:PORT, or its client's port."""
    wanted = text.replace(" ", "")
    for flow in trace.flows:
        label = flow.label.replace(" ", "")
        if wanted in (label, label.partition(">")[0]):
            return flow.index
    if not wanted.isdigit():
        return None
    if 1 <= int(wanted) <= len(trace):
        return int(wanted) - 1
    return next((flow.index for flow in trace.flows if flow.client[1] == int(wanted)), None)


def _head(trace: Trace, flow: Flow) -> list[str]:
    placement = f"{flow.placement.value}, translated by {flow.translator}" if flow.translator else flow.placement.value
    spoofed = flow.spoofed_isn if flow.spoofed_isn != flow.real_isn else None
    isns = {"client": flow.client_isn, "server": flow.real_isn, "spoofed": spoofed}
    told = ", ".join(f"{name} {value}" for name, value in isns.items() if value is not None)
    lines = [
        f"{flow.label}   {placement}",
        f"ISNs: {told or 'not seen'}; seq and ack count from them",
        "|--->| seen at both ends (+ms on the way)   |--x leaving only   ?-->| arriving only",
    ]
    if not trace.same_clock:
        lines.append("every host has its own clock: their times are aligned as well as packets allow")
    return lines


def _columns(trace: Trace) -> list[str]:
    """Hosts, and their ports below; a port without a capture is in brackets."""
    hosts, ports = "", "    ms".ljust(_LEFT)
    for position, x in _X.items():
        tap = trace.taps.get(position)
        port = "(none)" if tap is None else tap.interface or tap.name.partition("-")[2] or "?"
        ports = _centred(ports, _LEFT + x, port)
        name = position.host if tap is None else tap.host
        if position in (Position.CLIENTNIC_LAN, Position.SERVERNIC_WAN):
            hosts = _centred(hosts, _LEFT + x + _BOX // 2, name)
        elif position in (Position.CLIENT, Position.SERVER):
            hosts = _centred(hosts, _LEFT + x, name)
    return [hosts, ports]


def _centred(line: str, at: int, word: str) -> str:
    return line.ljust(at - len(word) // 2) + word


def _line(trace: Trace, row: Row, start: int) -> str:
    cells = [" "] * (_X[Position.SERVER] + 1)
    for position in trace.taps:
        cells[_X[position]] = "|"
    first, last = _X[row.hop[0]] + 1, _X[row.hop[1]]
    arrow = _arrow(last - first, row, both=all(end in trace.taps for end in row.hop))
    cells[first:last] = arrow if row.up else arrow[::-1].replace(">", "<")
    took = f" +{(row.arrived.time - row.left.time) / 1e6:.3f}" if row.left and row.arrived else ""
    at = (row.seen.time - start) / 1e6
    return f"{'>' if row.marked else ' '}{at:7.3f} {''.join(cells)}  {row.seen.text}{took}"


def _arrow(width: int, row: Row, *, both: bool) -> str:
    """As it points to the server."""
    if both and row.arrived is None:
        return "-" * (width // 2) + "x" + " " * (width - width // 2 - 1)
    if both and row.left is None:
        return " " * (width // 2 - 1) + "?" + "-" * (width - width // 2 - 1) + ">"
    return "-" * (width - 1) + ">"
