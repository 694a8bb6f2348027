"""All taps of a run, correlated: which rows of which capture belong to which connection, and what was done to it on the way.

A Trace holds arrays aligned with the flow index (``delta``, ``real_isn`` …) and arrays aligned with the rows of each tap
(``flow_of``, ``to_server``), so that a check can say in one expression what each packet of every flow should look like; a Flow
is a thin view of one index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopscope.wire.taps import Position, Tap


class Placement(StrEnum):
    """Who translates, as inferred from the captures of a flow."""

    UNKNOWN = "unknown"
    """The taps do not show it (too few, or no SYN-ACK)."""
    PLAIN = "plain"
    """The client was answered with the server's own ISN."""
    HOLD = "hold"
    """The client was answered with another ISN, and the server's real SYN-ACK crossed the WAN."""
    STAMP = "stamp"
    """The SYN on the WAN carries a stamp in its ack field."""
    EARLY = "early"
    """The client was answered with another ISN and ServerNIC translates, with no stamp to be seen."""


PLACEMENTS: tuple[Placement, ...] = tuple(Placement)
"""``trace.placement[i]`` is an index into this."""

TRANSLATORS: tuple[str, ...] = ("clientnic", "servernic")
"""``trace.translator[i]`` is an index into this, or -1."""


@dataclass(frozen=True)
class Window:
    """When all taps are known to have captured, in ns; None where unknown."""

    start_ns: int | None
    end_ns: int | None


@dataclass(frozen=True, eq=False)
class Trace:
    taps: Mapping[Position, Tap]
    """In order of position; fewer than six when fewer were given."""
    same_clock: bool
    """All taps were stamped by one clock."""
    rtt_ns: int | None
    """Achieved idle round trip client-server, where the side-car tells."""
    sut_events: tuple[dict[str, Any], ...]
    window: Window
    notes: tuple[str, ...]
    """What a reader should know: files left out, sides guessed, background set aside."""
    background: int
    """Connections set aside because they are not on the path (metadata, management)."""

    flow_of: Mapping[Position, NDArray[np.int64]]
    """By tap, aligned with its rows: index of the row's flow, -1 none."""
    to_server: Mapping[Position, NDArray[np.bool_]]
    """By tap, aligned with its rows: the row goes from client to server (meaningless where flow_of is -1)."""

    client_isn: NDArray[np.int64]
    """ISN of the client, -1 unknown (the flow began before the captures)."""
    real_isn: NDArray[np.int64]
    """R, the ISN the server sent; -1 unknown."""
    spoofed_isn: NDArray[np.int64]
    """V, the ISN a box answered with; R where no other was seen; -1 unknown."""
    answered_isn: NDArray[np.int64]
    """ISN of the first SYN-ACK at the tap nearest to the client: the one its kernel took; -1 unknown."""
    stamp: NDArray[np.int64]
    """Ack field that a box wrote into the SYN on the WAN; -1 none."""
    delta: NDArray[np.int64]
    """(V - R) mod 2^32; -1 unknown."""
    ts_delta: NDArray[np.int64]
    """What boxes added to the server's TSval on its way to the client, mod 2^32; -1 unknown or no timestamps."""
    placement: NDArray[np.int8]
    """Index into PLACEMENTS."""
    translator: NDArray[np.int8]
    """Index into TRANSLATORS, -1 none or unknown."""
    whole: NDArray[np.bool_]
    """The flow lies entirely within the captures."""

    _client: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint16]] = field(repr=False)
    _server: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint16]] = field(repr=False)
    _generation: NDArray[np.int64] = field(repr=False)

    @staticmethod
    def load(folder: Path) -> Trace:
        """Read a folder of captures, with or without a ``taps.json``. Raises HarnessFault when it holds none that can be read."""
        raise NotImplementedError

    @property
    def flows(self) -> Sequence[Flow]:
        raise NotImplementedError

    def select(
        self, *, start_ns: int | None = None, end_ns: int | None = None, ports: Iterable[int] | None = None
    ) -> Trace:
        """The flows whose first SYN lies in [start, end) at the first tap that saw it, to these server ports."""
        raise NotImplementedError

    def first_rows(self, position: Position, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its earliest row at a tap among those in the mask ``where`` (aligned with the tap's rows); -1 none."""
        raise NotImplementedError

    def last_rows(self, position: Position, where: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each flow its latest row at a tap among those in the mask; -1 none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flow:
    """One connection: a view of one index of a Trace."""

    trace: Trace = field(repr=False)
    index: int

    @property
    def client(self) -> tuple[IPv4Address | IPv6Address, int]:
        raise NotImplementedError

    @property
    def server(self) -> tuple[IPv4Address | IPv6Address, int]:
        raise NotImplementedError

    @property
    def label(self) -> str:
        """``10.1.0.10:40000 > 10.1.2.10:8080``, with ``#2`` where the ports were used before."""
        raise NotImplementedError

    @property
    def generation(self) -> int:
        """0 for the first use of these addresses and ports, 1 for the next …"""
        raise NotImplementedError

    @property
    def client_isn(self) -> int | None:
        raise NotImplementedError

    @property
    def real_isn(self) -> int | None:
        raise NotImplementedError

    @property
    def spoofed_isn(self) -> int | None:
        raise NotImplementedError

    @property
    def answered_isn(self) -> int | None:
        raise NotImplementedError

    @property
    def stamp(self) -> int | None:
        raise NotImplementedError

    @property
    def delta(self) -> int | None:
        raise NotImplementedError

    @property
    def ts_delta(self) -> int | None:
        raise NotImplementedError

    @property
    def placement(self) -> Placement:
        raise NotImplementedError

    @property
    def translator(self) -> str | None:
        raise NotImplementedError

    @property
    def whole(self) -> bool:
        raise NotImplementedError

    def rows(self, position: Position, to_server: bool | None = None) -> NDArray[np.int64]:
        """Rows of this flow in the tap's Packets, in time order; one direction, or both when None. Empty without the tap."""
        raise NotImplementedError

    def seen_at(self, position: Position) -> bool:
        raise NotImplementedError

    def syn_rows(self, position: Position) -> NDArray[np.int64]:
        """SYNs of the client (retransmissions too)."""
        raise NotImplementedError

    def synack_rows(self, position: Position) -> NDArray[np.int64]:
        """SYN-ACKs to the client, whoever sent them."""
        raise NotImplementedError
