"""One flow across all taps as a text ladder: columns are ports, a row is a segment on its way over one link.

Numbers of a link's rows are relative to the ISNs that hold there, so a segment that is translated rightly keeps them
all the way.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hopscope.checks.view import server_base
from hopscope.wire.packets import ACK, FIN, PSH, RST, SYN, URG
from hopscope.wire.taps import HOPS, Position
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
_FLAGS = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (URG, "URG"), (ACK, "ACK"))
_HALF = 2**31


@dataclass(frozen=True)
class _Seen:
    """A segment at one tap. ``key`` is what no link changes of it."""

    time: int
    key: tuple[int, ...]
    text: str
    marked: bool


@dataclass(frozen=True)
class _Row:
    """A segment over one link. ``left`` and ``arrived`` are None where that end did not see it, or has no tap."""

    hop: tuple[Position, Position]
    up: bool
    left: _Seen | None
    arrived: _Seen | None

    @property
    def seen(self) -> _Seen:
        found = self.left or self.arrived
        assert found is not None
        return found


def ladder(trace: Trace, index: int, *, marked: Collection[tuple[str, int]] = (), max_rows: int = MAX_ROWS) -> str:
    """The flow of this index, without a trailing newline; ``marked`` are frames (tap file, number) to point at."""
    flow = trace.flows[index]
    rows = sorted(_rows(trace, flow, frozenset(marked)), key=lambda row: row.seen.time)
    start = rows[0].seen.time if rows else 0
    lines = [_line(trace, row, start) for row in rows]
    if len(lines) > max_rows:
        first = min(HEAD_ROWS, max_rows - 1)
        left_out = f"{'':{_LEFT}}... {len(lines) - max_rows:,} rows left out ..."
        lines = [*lines[:first], left_out, *lines[first - max_rows :]]
    text = [*_head(trace, flow), "", *_columns(trace), *lines]
    if any(_marked(row) for row in rows):
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


def _rows(trace: Trace, flow: Flow, marked: frozenset[tuple[str, int]]) -> Iterator[_Row]:
    for hop in HOPS:
        for up in (True, False):
            source, target = hop if up else hop[::-1]
            yield from _over(hop, up, _seen(trace, flow, source, up, marked), _seen(trace, flow, target, up, marked))


def _over(hop: tuple[Position, Position], up: bool, left: list[_Seen], arrived: list[_Seen]) -> Iterator[_Row]:
    """Segments matched one to one, copies in their order."""
    waiting: dict[tuple[int, ...], deque[_Seen]] = defaultdict(deque)
    for one in arrived:
        waiting[one.key].append(one)
    for one in left:
        yield _Row(hop, up, one, waiting[one.key].popleft() if waiting[one.key] else None)
    for rest in waiting.values():
        yield from (_Row(hop, up, None, one) for one in rest)


def _seen(trace: Trace, flow: Flow, position: Position, up: bool, marked: frozenset[tuple[str, int]]) -> list[_Seen]:
    if position not in trace.taps:
        return []
    tap, packets = trace.taps[position], trace.taps[position].packets
    client, server = int(trace.client_isn[flow.index]), int(server_base(trace, position)[flow.index])
    own, other = (client, server) if up else (server, client)
    ahead = _ahead(trace, position)
    found = []
    for row in flow.rows(position, to_server=up).tolist():
        flags, seq, ack = int(packets.flags[row]), int(packets.seq[row]), int(packets.ack[row])
        length, frame = int(packets.payload_len[row]), int(packets.frame[row])
        words = ["-".join(name for bit, name in _FLAGS if flags & bit) or "no flags", f"seq {_relative(seq, own)}"]
        if flags & ACK:
            words.append(f"ack {_relative(ack, other)}")
        elif ack:
            words.append(f"[ack field {ack}]")
        words += [f"len {length}"] if length else []
        key = (seq, ack, flags, length, int(packets.ip_id[row]), int(packets.tsval[row]))
        found.append(_Seen(int(packets.time[row]) - ahead, key, " ".join(words), (tap.file, frame) in marked))
    return found


def _ahead(trace: Trace, position: Position) -> int:
    """By how many ns the clock of a tap is ahead of that of the first, in the middle of what packets allow."""
    bounds = trace.clock_offset(min(trace.taps), position)
    return 0 if bounds is None else sum(bounds) // 2


def _relative(value: int, base: int) -> str:
    """Distance from an ISN, signed; the number itself, with =, where the ISN is not known."""
    return f"={value}" if base < 0 else str((value - base + _HALF) % 2**32 - _HALF)


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


def _line(trace: Trace, row: _Row, start: int) -> str:
    cells = [" "] * (_X[Position.SERVER] + 1)
    for position in trace.taps:
        cells[_X[position]] = "|"
    first, last = _X[row.hop[0]] + 1, _X[row.hop[1]]
    arrow = _arrow(last - first, row, both=all(end in trace.taps for end in row.hop))
    cells[first:last] = arrow if row.up else arrow[::-1].replace(">", "<")
    took = f" +{(row.arrived.time - row.left.time) / 1e6:.3f}" if row.left and row.arrived else ""
    at = (row.seen.time - start) / 1e6
    return f"{'>' if _marked(row) else ' '}{at:7.3f} {''.join(cells)}  {row.seen.text}{took}"


def _arrow(width: int, row: _Row, *, both: bool) -> str:
    """As it points to the server."""
    if both and row.arrived is None:
        return "-" * (width // 2) + "x" + " " * (width - width // 2 - 1)
    if both and row.left is None:
        return " " * (width // 2 - 1) + "?" + "-" * (width - width // 2 - 1) + ">"
    return "-" * (width - 1) + ">"


def _marked(row: _Row) -> bool:
    return any(end is not None and end.marked for end in (row.left, row.arrived))
