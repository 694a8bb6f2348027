"""How far the clocks of two taps can be apart, told from packets that both saw.

A packet cannot arrive before it was sent. Over one hop the shortest way there bounds the offset from above and the
shortest way back bounds it from below; the ports of one host share a clock. So no clock needs be trusted, and the
error is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.rows import TapRows
from hopscope.wire.taps import HOPS, Position

_FLAGS = FIN | SYN | RST | ACK


def offset(rows: Mapping[Position, TapRows], near: Position, far: Position) -> tuple[int, int] | None:
    """Least and greatest value in ns of (clock of far) - (clock of near); None when no packets bound it.

    ``near`` is the one nearer to the client. Bounds of several hops add up, and each hop needs both of its taps.
    """
    low = high = 0
    for left, right in HOPS:
        # A hop counts when it lies between the hosts of the two taps.
        if near <= left and right <= far:
            bounds = _hop(rows, left, right)
            if bounds is None:
                return None
            low, high = low + bounds[0], high + bounds[1]
    return low, high


def _hop(rows: Mapping[Position, TapRows], left: Position, right: Position) -> tuple[int, int] | None:
    if left not in rows or right not in rows:
        return None
    there = _shortest(rows[left], rows[right], to_server=True)
    back = _shortest(rows[right], rows[left], to_server=False)
    if there is None or back is None or -back > there:
        return None
    return -back, there


def _shortest(sender: TapRows, receiver: TapRows, *, to_server: bool) -> int | None:
    """Least difference of stamps over the first packet of each flow in one direction, where both saw the same one.

    Where a first packet was lost, what the receiver has is a later copy: that only makes the difference larger.
    """
    sent = sender.first((sender.flow >= 0) & (sender.to_server == to_server))
    got = receiver.first((receiver.flow >= 0) & (receiver.to_server == to_server))
    both = (sent >= 0) & (got >= 0)
    sent, got = sent[both], got[both]
    same = _look(sender, sent) == _look(receiver, got)
    if not same.any():
        return None
    return int((receiver.packets.time[got[same]] - sender.packets.time[sent[same]]).min())


def _look(tap: TapRows, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sequence number, flags and length of rows in one number."""
    packets = tap.packets
    kind = (packets.flags[rows] & _FLAGS).astype(np.int64) << 16 | packets.payload_len[rows] & 0xFFFF
    return np.asarray(packets.seq[rows].astype(np.int64) << 31 ^ kind)
