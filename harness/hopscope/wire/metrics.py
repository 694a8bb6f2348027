"""Latencies of each flow, in nanoseconds, NaN where the flow does not show them.

Each is an interval on one host's clock, so no two clocks need agree. All arrays are float64, aligned with the trace's
flows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.packets import FIN, RST
from hopscope.wire.rows import TapRows
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace


def send_unlock(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to its first segment with payload out, seen at the client."""
    tap = trace.rows.get(Position.CLIENT)
    return _interval(trace, tap, lambda t: t.first(t.syn), lambda t: t.first(_payload(t) & t.to_server & ~t.syn))


def ttfb(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to the first payload byte in, seen at the client."""
    tap = trace.rows.get(Position.CLIENT)
    return _interval(trace, tap, lambda t: t.first(t.syn), lambda t: t.first(_payload(t) & ~t.to_server))


def fct(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to the last payload byte or FIN in, seen at the client."""
    tap = trace.rows.get(Position.CLIENT)
    return _interval(trace, tap, lambda t: t.first(t.syn), lambda t: t.last((_payload(t) | _fin(t)) & ~t.to_server))


def server_gap(trace: Trace) -> NDArray[np.float64]:
    """Server's first SYN-ACK out to the first payload in, seen at the server."""
    tap = trace.rows.get(Position.SERVER)
    return _interval(trace, tap, lambda t: t.first(t.synack), lambda t: t.first(_payload(t) & t.to_server))


def wan_rtt(trace: Trace) -> NDArray[np.float64]:
    """First SYN out of ClientNIC's WAN port to the first packet of the flow that comes back there.

    In every placement that packet answers the SYN or what came right behind it, so it is a whole round trip to
    ServerNIC or beyond; never shorter than the WAN's.
    """
    tap = trace.rows.get(Position.CLIENTNIC_WAN)
    return _interval(trace, tap, lambda t: t.first(t.syn), lambda t: t.first(~t.to_server & (t.flow >= 0)))


def per_flow(trace: Trace) -> dict[str, NDArray[np.float64]]:
    """The four that runs are compared by."""
    return {"ttfb": ttfb(trace), "send_unlock": send_unlock(trace), "fct": fct(trace), "server_gap": server_gap(trace)}


_Pick = Callable[[TapRows], NDArray[np.int64]]


def _interval(trace: Trace, tap: TapRows | None, start: _Pick, stop: _Pick) -> NDArray[np.float64]:
    """Time from one row of each flow to another at one tap; NaN where either is missing, or there is no such tap."""
    out = np.full(len(trace), np.nan)
    if tap is None:
        return out
    first, last = start(tap), stop(tap)
    both = (first >= 0) & (last >= 0)
    out[both] = (tap.packets.time[last[both]] - tap.packets.time[first[both]]).astype(np.float64)
    return out


def _payload(tap: TapRows) -> NDArray[np.bool_]:
    """Segments that carry bytes of the connection; what a RST carries is a diagnostic (RFC 9293, 3.5.3)."""
    return np.asarray((tap.packets.payload_len > 0) & (tap.packets.flags & RST == 0) & (tap.flow >= 0))


def _fin(tap: TapRows) -> NDArray[np.bool_]:
    return np.asarray((tap.packets.flags & FIN > 0) & (tap.flow >= 0))
