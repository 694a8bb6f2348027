"""All taps of a run, correlated: which rows of which capture belong to which connection, and what was done to it.

A Trace holds arrays aligned with the flow index (``delta``, ``real_isn`` …) and arrays aligned with the rows of each
tap (``flow_of``, ``to_server``), so that a check says in one expression what each packet of every flow should look
like. A Flow is a thin view of one index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import background, clock, flows, folder, infer, whole
from hopscope.wire.infer import PLACEMENTS, TRANSLATORS, Placement
from hopscope.wire.packets import address
from hopscope.wire.rows import TapRows
from hopscope.wire.taps import Position, Tap
from hopscope.wire.whole import Window

__all__ = ["PLACEMENTS", "TRANSLATORS", "Flow", "Placement", "Trace", "Window"]

_NO_ROWS = np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Trace:
    taps: Mapping[Position, Tap]
    """In order of position; fewer than six when fewer were given."""
    same_clock: bool
    """All taps were stamped by one clock (a bare folder does not claim it)."""
    rtt_ns: int | None
    """Achieved idle round trip client-server, where the side-car tells."""
    sut_events: tuple[dict[str, Any], ...]
    window: Window
    notes: tuple[str, ...]
    """What a reader should know: files left out, sides guessed, captures cut, background set aside."""
    background: int
    """Connections set aside because they are not on the path (metadata, management)."""

    rows: Mapping[Position, TapRows] = field(repr=False)
    """By tap: its rows by flow, with first() and last() row of each flow in a mask."""

    client_end: NDArray[np.uint64] = field(repr=False)
    """Shape (n, 3): high and low half of the address, port."""
    server_end: NDArray[np.uint64] = field(repr=False)
    generation: NDArray[np.int64] = field(repr=False)
    """0 for the first use of a pair of addresses and ports, 1 for the next …"""
    began: NDArray[np.int64] = field(repr=False)
    """ns, first row at the tap nearest to the client that saw the flow; flows are in this order."""
    client_isn: NDArray[np.int64] = field(repr=False)
    """ISN of the client, -1 unknown (the flow began before the captures)."""
    real_isn: NDArray[np.int64] = field(repr=False)
    """R, the ISN the server sent; -1 unknown (refused, or no tap on the WAN or beyond)."""
    spoofed_isn: NDArray[np.int64] = field(repr=False)
    """V, the ISN a box answered with, which the server never sent; R where no other was seen; -1 unknown."""
    answered_isn: NDArray[np.int64] = field(repr=False)
    """ISN of the first SYN-ACK at the tap nearest to the client: the one its kernel took; -1 unknown."""
    stamp: NDArray[np.int64] = field(repr=False)
    """Ack field that a box wrote into the SYN on the WAN; -1 none."""
    delta: NDArray[np.int64] = field(repr=False)
    """(V - R) mod 2^32; -1 unknown."""
    ts_delta: NDArray[np.int64] = field(repr=False)
    """What boxes add to the server's TSval on its way to the client, mod 2^32; -1 unknown or no timestamps."""
    placement: NDArray[np.int8] = field(repr=False)
    """Index into PLACEMENTS."""
    translator: NDArray[np.int8] = field(repr=False)
    """Index into TRANSLATORS; -1 none or unknown."""
    whole: NDArray[np.bool_] = field(repr=False)
    """The flow lies entirely within the captures."""

    missing: tuple[str, ...] = ()
    """Captures that a side-car names and that are not there."""

    @staticmethod
    def load(path: Path, progress: Callable[[str], object] = lambda _: None) -> Trace:
        """Read a folder of captures, with or without a ``taps.json``; ``progress`` is told what is being done.

        Raises HarnessFault when it holds none that is named after a host, or one that cannot be read.
        """
        content = folder.read(path, progress)
        progress("following connections over all captures")
        return Trace.of(
            content.taps,
            same_clock=content.same_clock,
            rtt_ns=content.rtt_ns,
            sut_events=content.sut_events,
            notes=content.notes,
            missing=content.missing,
        )

    @staticmethod
    def of(
        taps: Iterable[Tap],
        *,
        same_clock: bool = False,
        rtt_ns: int | None = None,
        sut_events: Iterable[dict[str, Any]] = (),
        notes: Iterable[str] = (),
        missing: Iterable[str] = (),
    ) -> Trace:
        """Correlate taps; one for each position at most."""
        placed = {tap.position: tap for tap in sorted(taps, key=lambda tap: tap.position)}
        segments, found = flows.connections([tap.packets for tap in placed.values()])
        on_path = background.on_path(list(placed), segments, found)
        number = np.where(on_path, np.cumsum(on_path) - 1, -1)
        count = int(on_path.sum())
        rows: dict[Position, TapRows] = {}
        for at, (position, tap) in enumerate(placed.items()):
            flow = np.full(len(tap.packets), -1, np.int64)
            to_server = np.zeros(len(tap.packets), np.bool_)
            flow[segments[at].rows] = number[found.flow_of[at]]
            to_server[segments[at].rows] = found.to_server[at]
            rows[position] = TapRows(tap.packets, flow, to_server & (flow >= 0), count)
        del segments  # as large as the columns that they were made from
        inferred = infer.infer(rows, count)
        complete = whole.whole(placed, rows, count, same_clock=same_clock) if rows else np.zeros(0, np.bool_)
        aside = len(on_path) - count
        said = [
            *notes,
            *(f"{tap.file}: ends in the middle of a record" for tap in placed.values() if tap.packets.truncated),
        ]
        if aside:
            said.append(f"{aside} connections are not on the path and were set aside")
        cut = int(np.count_nonzero(~complete))
        if cut:
            said.append(f"{cut} of {count} flows do not lie wholly within the captures and are not judged")
        return Trace(
            taps=placed,
            same_clock=same_clock,
            rtt_ns=rtt_ns,
            sut_events=tuple(sut_events),
            window=whole.window(placed),
            notes=tuple(said),
            background=aside,
            rows=rows,
            client_end=found.client[on_path],
            server_end=found.server[on_path],
            generation=found.generation[on_path],
            began=found.began[on_path],
            client_isn=found.client_isn[on_path],
            whole=complete,
            missing=tuple(missing),
            **{column.name: getattr(inferred, column.name) for column in fields(inferred)},
        )

    def __len__(self) -> int:
        """How many flows there are."""
        return len(self.client_isn)

    @cached_property
    def flows(self) -> Sequence[Flow]:
        return tuple(Flow(self, index) for index in range(len(self)))

    @cached_property
    def flow_of(self) -> Mapping[Position, NDArray[np.int64]]:
        """By tap, aligned with its rows: index of the row's flow, -1 none."""
        return {position: rows.flow for position, rows in self.rows.items()}

    @cached_property
    def to_server(self) -> Mapping[Position, NDArray[np.bool_]]:
        """By tap, aligned with its rows: the row goes from client to server; False where flow_of is -1."""
        return {position: rows.to_server for position, rows in self.rows.items()}

    def select(
        self, *, start_ns: int | None = None, end_ns: int | None = None, ports: Iterable[int] | None = None
    ) -> Trace:
        """The flows that began (at the tap nearest to the client that saw them) in [start, end), to these server
        ports."""
        keep = np.ones(len(self), np.bool_)
        if start_ns is not None:
            keep &= self.began >= start_ns
        if end_ns is not None:
            keep &= self.began < end_ns
        if ports is not None:
            keep &= np.isin(self.server_end[:, 2].astype(np.int64), list(ports))
        return self._keep(keep)

    def during(self, spans: Iterable[tuple[int, int]]) -> Trace:
        """The flows that began within one of the spans [start, end), in ns of the clock nearest to the client."""
        keep = np.zeros(len(self), np.bool_)
        for start_ns, end_ns in spans:
            keep |= (self.began >= start_ns) & (self.began < end_ns)
        return self._keep(keep)

    def only(self, keep: NDArray[np.bool_]) -> Trace:
        """The flows of a mask."""
        return self._keep(keep)

    def _keep(self, keep: NDArray[np.bool_]) -> Trace:
        number = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)  # the last one serves flow_of == -1
        count = int(keep.sum())
        rows = {}
        for position, part in self.rows.items():
            flow = number[part.flow]
            rows[position] = TapRows(part.packets, flow, part.to_server & (flow >= 0), count)
        columns = {
            column.name: getattr(self, column.name)[keep]
            for column in fields(self)
            if isinstance(getattr(self, column.name), np.ndarray)
        }
        return replace(self, rows=rows, **columns)

    @cached_property
    def unjudged(self) -> NDArray[np.bool_]:
        """Flows that are not whole and have no excuse: live captures should have held them from SYN to end."""
        return whole.unjudged(self.taps, self.rows, self.whole, same_clock=self.same_clock)

    def clock_offset(self, near: Position, far: Position) -> tuple[int, int] | None:
        """Least and greatest ns by which the clock of ``far`` can be ahead of that of ``near``, which is nearer to
        the client.

        (0, 0) on a shared clock; otherwise as matched packets of the hops between them bound it; None when they do not.
        """
        return (0, 0) if self.same_clock else clock.offset(self.rows, near, far)

    def first_rows(self, position: Position, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its earliest row at a tap in the mask ``where`` (aligned with the tap's rows); -1 none."""
        return self.rows[position].first(where)

    def last_rows(self, position: Position, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its latest row at a tap in the mask; -1 none."""
        return self.rows[position].last(where)


@dataclass(frozen=True)
class Flow:
    """One connection: a view of one index of a Trace. Absent values are None."""

    trace: Trace = field(repr=False)
    index: int

    @property
    def client(self) -> tuple[IPv4Address | IPv6Address, int]:
        return _end(self.trace.client_end[self.index])

    @property
    def server(self) -> tuple[IPv4Address | IPv6Address, int]:
        return _end(self.trace.server_end[self.index])

    @property
    def label(self) -> str:
        """``10.1.0.10:40000 > 10.1.2.10:8080``, with ``#2`` where the ports were used before."""
        again = f" #{self.generation + 1}" if self.generation else ""
        return f"{_text(self.client)} > {_text(self.server)}{again}"

    @property
    def generation(self) -> int:
        return int(self.trace.generation[self.index])

    @property
    def client_isn(self) -> int | None:
        return self._value(self.trace.client_isn)

    @property
    def real_isn(self) -> int | None:
        return self._value(self.trace.real_isn)

    @property
    def spoofed_isn(self) -> int | None:
        return self._value(self.trace.spoofed_isn)

    @property
    def answered_isn(self) -> int | None:
        return self._value(self.trace.answered_isn)

    @property
    def stamp(self) -> int | None:
        return self._value(self.trace.stamp)

    @property
    def delta(self) -> int | None:
        return self._value(self.trace.delta)

    @property
    def ts_delta(self) -> int | None:
        return self._value(self.trace.ts_delta)

    @property
    def placement(self) -> Placement:
        return PLACEMENTS[int(self.trace.placement[self.index])]

    @property
    def translator(self) -> str | None:
        code = int(self.trace.translator[self.index])
        return None if code < 0 else TRANSLATORS[code]

    @property
    def whole(self) -> bool:
        return bool(self.trace.whole[self.index])

    def rows(self, position: Position, to_server: bool | None = None) -> NDArray[np.int64]:
        """Rows in the tap's Packets, in time order; one direction, or both when None. Empty where there is no such
        tap."""
        part = self.trace.rows.get(position)
        if part is None:
            return _NO_ROWS
        rows = part.of(self.index)
        return rows if to_server is None else rows[part.to_server[rows] == to_server]

    def seen_at(self, position: Position) -> bool:
        return len(self.rows(position)) > 0

    def syn_rows(self, position: Position) -> NDArray[np.int64]:
        """SYNs of the client, retransmissions too."""
        rows = self.rows(position)
        return rows[self.trace.rows[position].syn[rows]] if len(rows) else rows

    def synack_rows(self, position: Position) -> NDArray[np.int64]:
        """SYN-ACKs to the client, whoever sent them."""
        rows = self.rows(position)
        return rows[self.trace.rows[position].synack[rows]] if len(rows) else rows

    def _value(self, column: NDArray[np.int64]) -> int | None:
        value = int(column[self.index])
        return None if value < 0 else value


def _end(row: NDArray[np.uint64]) -> tuple[IPv4Address | IPv6Address, int]:
    high, low, port = (int(part) for part in row)
    return address(high, low), port


def _text(end: tuple[IPv4Address | IPv6Address, int]) -> str:
    host, port = end
    return f"{host}:{port}" if host.version == 4 else f"[{host}]:{port}"
