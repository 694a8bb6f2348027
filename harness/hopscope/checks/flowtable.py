"""What each flow did, in columns aligned with the flow index: what ``judge --flow`` and ``judge --top`` tell.

Counted at the tap nearest to the client, ``repeats_down`` and ``out_of_order_up`` at the one nearest to the server,
where segments of that direction set out or arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.ranked import by_time, highest_before
from hopscope.checks.view import Ints, View, keys, view
from hopscope.wire import metrics
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

Columns = Mapping[str, NDArray[Any]]

ORDERS = {"slowest": "fct", "first-byte": "ttfb", "repeats": "repeats", "largest": "bytes"}
"""What ``--top`` sorts by, largest first: the word, and the column."""


def flow_table(trace: Trace) -> Columns:
    """Columns: the four metrics in ns (NaN unknown), handshake and first payloads in ns behind the SYN, counts."""
    if not trace.taps:
        return {}
    near, far = min(trace.taps), max(trace.taps)
    tap = trace.rows[near]
    packets, mine = tap.packets, tap.flow >= 0
    here, there = _segments(trace, near), _segments(trace, far)
    repeats_up, repeats_down = _repeats(here, True, len(trace)), _repeats(there, False, len(trace))
    filled = mine & (packets.payload_len > 0) & (packets.flags & RST == 0)
    bytes_up, bytes_down = (
        np.bincount(tap.flow[filled & way], packets.payload_len[filled & way], len(trace)).astype(np.int64)
        for way in (tap.to_server, ~tap.to_server)
    )

    def since_syn(where: NDArray[np.bool_]) -> NDArray[np.float64]:
        start, row = tap.first(tap.syn), tap.first(where)
        out = np.full(len(trace), np.nan)
        both = (start >= 0) & (row >= 0)
        out[both] = packets.time[row[both]] - packets.time[start[both]]
        return out

    closed = packets.flags & FIN > 0
    return {
        **metrics.per_flow(trace),
        "handshake": since_syn(tap.synack),
        "first_up": since_syn(filled & tap.to_server),
        "first_down": since_syn(filled & ~tap.to_server),
        "fin_up": tap.first(mine & closed & tap.to_server) >= 0,
        "fin_down": tap.first(mine & closed & ~tap.to_server) >= 0,
        "rst": tap.first(mine & (packets.flags & RST > 0)) >= 0,
        "packets": np.bincount(tap.flow[mine], minlength=len(trace)),
        "bytes": bytes_up + bytes_down,
        "bytes_up": bytes_up,
        "bytes_down": bytes_down,
        "repeats": repeats_up + repeats_down,
        "repeats_up": repeats_up,
        "repeats_down": repeats_down,
        "out_of_order_up": _out_of_order(there, True, len(trace)),
        "out_of_order_down": _out_of_order(here, False, len(trace)),
        "dsacks": _dsacks(trace, near) + (_dsacks(trace, far, down=True) if far != near else 0),
        "zero_windows": np.bincount(
            tap.flow[mine & (packets.window == 0) & (packets.flags & (ACK | RST) == ACK)], minlength=len(trace)
        ),
    }


def repeat_times(trace: Trace) -> NDArray[np.int64]:
    """When segments came by that had come by before, in ns of the clock of the tap nearest to their sender."""
    if not trace.taps:
        return np.zeros(0, np.int64)
    ends = ((min(trace.taps), True), (max(trace.taps), False))
    return np.sort(np.concatenate([_again(_segments(trace, end), up).time for end, up in ends]))


def one(columns: Columns, flow: int) -> dict[str, Any]:
    """One flow's row, in plain values; what is not known is left out."""
    row = {name: column[flow].item() for name, column in columns.items()}
    return {name: value for name, value in row.items() if value == value}  # NaN is not equal to itself


def top(trace: Trace, columns: Columns, order: str, count: int) -> list[int]:
    """The flows with the largest value of a column, largest first; those that do not show it are left out."""
    value = np.asarray(columns[ORDERS[order]], np.float64)
    known = np.flatnonzero(~np.isnan(value))
    return [int(flow) for flow in known[np.argsort(-value[known], kind="stable")][:count]]


def _segments(trace: Trace, position: Position) -> View:
    seen = view(trace, position, np.ones(len(trace), np.bool_))
    return by_time(seen[(seen.length > 0) & ~seen.has(RST) & ~seen.has(SYN) & seen.placed])


def _repeats(seen: View, up: bool, flows: int) -> Ints:
    """Segments that came by before."""
    return np.bincount(_again(seen, up).flow, minlength=flows)


def _again(seen: View, up: bool) -> View:
    mine = seen[seen.up == up]
    key = keys(mine.flow, mine.seq, mine.length)
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(mine), np.bool_)
    again[first] = False
    return mine[again]


def _out_of_order(seen: View, up: bool, flows: int) -> Ints:
    """Segments behind one that came before them, and that had not come by yet."""
    mine = seen[seen.up == up]
    key = keys(mine.flow, mine.seq, mine.length)
    _, first = np.unique(key, return_index=True)
    new = np.zeros(len(mine), np.bool_)
    new[first] = True
    late = new & (mine.seq < highest_before(mine.flow, mine.end, none=-(1 << 40)))
    return np.bincount(mine.flow[late], minlength=flows)


def _dsacks(trace: Trace, position: Position, *, down: bool = False) -> Ints:
    """Acknowledgements whose first SACK block says what had been acknowledged before (RFC 2883)."""
    tap = trace.rows[position]
    rows = np.flatnonzero((tap.flow >= 0) & (tap.to_server != down) & (tap.packets.sack_count > 0))
    told = distance(tap.packets.sack[rows, 1], tap.packets.ack[rows]) <= 0
    return np.bincount(tap.flow[rows[told]], minlength=len(trace))
