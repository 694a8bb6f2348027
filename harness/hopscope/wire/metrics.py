"""Latencies of each flow, in nanoseconds, NaN where the flow does not show them.

Each is an interval on one host's clock, so no two clocks need agree. All arrays are float64, aligned with ``trace.flows``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.trace import Trace


def send_unlock(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to its first segment with payload out, seen at the client."""
    raise NotImplementedError


def ttfb(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to the first payload byte in, seen at the client."""
    raise NotImplementedError


def fct(trace: Trace) -> NDArray[np.float64]:
    """Client's first SYN out to the last payload byte or FIN in, seen at the client."""
    raise NotImplementedError


def server_gap(trace: Trace) -> NDArray[np.float64]:
    """Server's first SYN-ACK out to the first payload in, seen at the server."""
    raise NotImplementedError


def wan_rtt(trace: Trace) -> NDArray[np.float64]:
    """Round trip beyond ClientNIC: SYN out of its WAN port to the first packet of the flow that comes back there."""
    raise NotImplementedError


def per_flow(trace: Trace) -> dict[str, NDArray[np.float64]]:
    """All of them by name: ttfb, send_unlock, fct, server_gap."""
    raise NotImplementedError
