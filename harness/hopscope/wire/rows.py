"""Rows of one tap by flow: the join between a capture's columns and arrays aligned with the flow index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.packets import ACK, FIN, RST, SYN, Packets


@dataclass(frozen=True, eq=False)
class TapRows:
    packets: Packets
    flow: NDArray[np.int64]
    """Aligned with the rows of packets: index of the flow, -1 none."""
    to_server: NDArray[np.bool_]
    """Aligned with the rows; False where flow is -1."""
    flows: int
    """How many flows there are."""

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows that belong to a flow, by flow and then by time."""
        rows = np.flatnonzero(self.flow >= 0)
        time = self.packets.time[rows]
        if (time[1:] < time[:-1]).any():
            rows = rows[np.argsort(time, kind="stable")]
        return rows[np.argsort(self.flow[rows], kind="stable")]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each flow starts in ``order``; one more entry than flows."""
        return np.searchsorted(self.flow[self.order], np.arange(self.flows + 1))

    def of(self, flow: int) -> NDArray[np.int64]:
        """Rows of a flow in time order, both directions."""
        return self.order[self.starts[flow] : self.starts[flow + 1]]

    def first(self, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its earliest row in the mask, -1 none."""
        rows = self.order[where[self.order]][::-1]
        out = np.full(self.flows, -1, np.int64)
        out[self.flow[rows]] = rows  # the last of several assignments stands: the earliest row
        return out

    def last(self, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its latest row in the mask, -1 none."""
        rows = self.order[where[self.order]]
        out = np.full(self.flows, -1, np.int64)
        out[self.flow[rows]] = rows
        return out

    def rank(self, where: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows in the mask, by flow and time, and for each how many of its flow come before it."""
        rows = self.order[where[self.order]]
        flow = self.flow[rows]
        return rows, np.arange(len(rows)) - np.searchsorted(flow, flow)

    def value(self, column: NDArray[np.generic], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``column[rows]`` as int64, -1 where the row is -1."""
        out = np.full(len(rows), -1, np.int64)
        out[rows >= 0] = column[rows[rows >= 0]]
        return out

    @cached_property
    def syn(self) -> NDArray[np.bool_]:
        """SYNs of clients."""
        return np.asarray((self.packets.flags & (SYN | ACK | RST | FIN) == SYN) & self.to_server & (self.flow >= 0))

    @cached_property
    def synack(self) -> NDArray[np.bool_]:
        """SYN-ACKs to clients, whoever sent them."""
        return np.asarray((self.packets.flags & (SYN | ACK | RST) == SYN | ACK) & ~self.to_server & (self.flow >= 0))

    @cached_property
    def answer(self) -> NDArray[np.bool_]:
        """Segments to clients that are neither SYN nor RST: those whose numbers are in the space of one ISN."""
        return np.asarray((self.packets.flags & (SYN | RST) == 0) & ~self.to_server & (self.flow >= 0))
