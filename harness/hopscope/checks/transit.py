"""How long packets take: the shortest way between two taps, and the shortest WAN round trip, from the captures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.view import View, keys, view
from hopscope.wire.metrics import wan_rtt
from hopscope.wire.packets import ACK, SYN
from hopscope.wire.seq import add, distance
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace


def minimum_wan_rtt(trace: Trace) -> int | None:
    """The shortest time in which an answer can cross the WAN and come back, in ns; None when nothing tells.

    On ClientNIC's own clock: from a SYN, or the first payload, out of its WAN port to the first thing that comes back
    there. With a shared clock also the two shortest transits of the leg and the shortest answer beyond it. And what the
    side-car says of the idle round trip. The least of these counts.
    """
    found = [*_answers(trace), _shared_clock_rtt(trace), trace.rtt_ns]
    known = [int(one) for one in found if one is not None]
    return min(known, default=None)


def _answers(trace: Trace) -> list[int]:
    """Shortest answers at ClientNIC's WAN port, in ns: to a SYN, and to the first payload of a flow."""
    here = Position.CLIENTNIC_WAN
    if here not in trace.taps:
        return []
    to_syn = wan_rtt(trace)
    found = [int(np.nanmin(to_syn))] if not np.isnan(to_syn).all() else []
    packets, up, known = trace.taps[here].packets, trace.to_server[here], trace.flow_of[here] >= 0
    spoke = trace.first_rows(here, known & up & (packets.payload_len > 0))
    # Only what acknowledges that payload answers it: the server may speak first, or repeat its SYN-ACK.
    number = trace.flow_of[here]
    ahead = distance(packets.ack, add(trace.client_isn[number], 1)) > 0 if len(trace.client_isn) else known
    back = trace.first_rows(here, known & ~up & ((packets.flags & ACK) != 0) & ahead)
    both = (spoke >= 0) & (back >= 0)
    took = packets.time[back[both]] - packets.time[spoke[both]]
    return found + ([int(took[took > 0].min())] if (took > 0).any() else [])


def minimum_transit(trace: Trace, source: Position, target: Position) -> int | None:
    """The shortest time from one tap to another, over payload segments seen at both; meaningful on a shared clock."""
    shortest = _transits(trace, source, target)
    return int(shortest.min()) if len(shortest) else None


def _shared_clock_rtt(trace: Trace) -> float | None:
    """Both ways of the WAN leg at their shortest, and the shortest time beyond it from SYN to the first answer."""
    near, far = Position.CLIENTNIC_WAN, Position.SERVERNIC_WAN
    if not trace.same_clock or near not in trace.taps or far not in trace.taps:
        return None
    there, back = minimum_transit(trace, near, far), minimum_transit(trace, far, near)
    beyond = Position.SERVERNIC_LAN if Position.SERVERNIC_LAN in trace.taps else far
    turn = _turnaround(trace, beyond)
    if there is None or back is None or turn is None:
        return None
    return there + back + turn


def _turnaround(trace: Trace, position: Position) -> int | None:
    """Shortest time at one tap from a SYN towards the server to the first thing that comes back from there."""
    packets, up = trace.taps[position].packets, trace.to_server[position]
    known = trace.flow_of[position] >= 0
    syn = trace.first_rows(position, known & up & ((packets.flags & SYN) != 0))
    back = trace.first_rows(position, known & ~up)
    both = (syn >= 0) & (back >= 0)
    if not both.any():
        return None
    return max(0, int((packets.time[back[both]] - packets.time[syn[both]]).min()))


def _transits(trace: Trace, source: Position, target: Position) -> NDArray[np.int64]:
    """Times of flight of the payload segments seen exactly once at both taps."""
    if source not in trace.taps or target not in trace.taps:
        return np.zeros(0, dtype=np.int64)
    everything = np.ones(len(trace.whole), dtype=bool)
    up = target > source
    before, after = _once(view(trace, source, everything), up), _once(view(trace, target, everything), up)
    key_before, key_after = _key(before), _key(after)
    order = np.argsort(key_before)
    place = np.searchsorted(key_before[order], key_after)
    place = np.minimum(place, max(len(order) - 1, 0))
    if not len(order) or not len(key_after):
        return np.zeros(0, dtype=np.int64)
    match = key_before[order][place] == key_after
    return np.asarray(after.time[match] - before.time[order][place[match]])


def _once(seen: View, up: bool) -> View:
    """Payload segments of one direction that the tap saw only once, so that retransmissions cannot pair wrongly."""
    chosen = seen[(seen.up == up) & (seen.length > 0) & seen.placed]
    _, first, number = np.unique(_key(chosen), return_index=True, return_counts=True)
    return chosen[np.sort(first[number == 1])]


def _key(seen: View) -> NDArray[np.uint64]:
    return keys(seen.flow, seen.seq, seen.length)
