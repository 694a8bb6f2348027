"""Where captures were taken: positions on the chain, and a capture with its health."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hopscope.wire.packets import Packets


class Position(IntEnum):
    """A port of the chain, counted from the client: 0-1, 2-3, 4-5 are the hops, 1-2 and 3-4 the boxes."""

    CLIENT = 0
    CLIENTNIC_LAN = 1
    CLIENTNIC_WAN = 2
    SERVERNIC_WAN = 3
    SERVERNIC_LAN = 4
    SERVER = 5

    @property
    def host(self) -> str:
        return ("client", "clientnic", "clientnic", "servernic", "servernic", "server")[self]


HOPS: tuple[tuple[Position, Position], ...] = (
    (Position.CLIENT, Position.CLIENTNIC_LAN),
    (Position.CLIENTNIC_WAN, Position.SERVERNIC_WAN),
    (Position.SERVERNIC_LAN, Position.SERVER),
)
"""The three links, each as (client-side end, server-side end)."""

BOXES: dict[str, tuple[Position, Position]] = {
    "clientnic": (Position.CLIENTNIC_LAN, Position.CLIENTNIC_WAN),
    "servernic": (Position.SERVERNIC_WAN, Position.SERVERNIC_LAN),
}
"""The two boxes, each as (client side, server side)."""


@dataclass(frozen=True)
class TapHealth:
    """What the capturing program counted, and when it is known to have been live."""

    captured: int
    """Packets written."""
    received: int
    """Packets that passed the filter."""
    dropped: int
    """Packets lost by kernel or interface."""
    live_ns: int | None
    """Known to capture from here on, on the tap's clock; None unknown."""
    end_ns: int | None
    """Known to capture until here; None unknown."""
    offloads: bool = False
    """Offloads were left on: checksums are not judged and segments may be merged."""

    @property
    def healthy(self) -> bool:
        """Nothing was lost: captured == received, dropped == 0."""
        return self.captured == self.received and self.dropped == 0


@dataclass(frozen=True)
class Elsewhere:
    """What the rest of a file holds, where a trace is one shard of it (see ``shards``)."""

    packets: int = 0
    last_ns: int = 0
    """When the last packet of the whole file came."""
    sent: int = 0
    """Frames that the port itself has sent, by their MAC address."""
    answers: int = 0
    """SYN-ACKs among them."""


@dataclass(frozen=True, eq=False)
class Tap:
    """One capture at one position."""

    file: str
    """Name of the file, without its folder."""
    host: str
    interface: str | None
    position: Position
    packets: Packets
    health: TapHealth | None = None
    """None when nobody told (a bare folder): the capture is judged as it is."""
    mac: int | None = None
    """48-bit address of the port itself, where the side-car tells."""
    doubts: tuple[str, ...] = ()
    """Why the side-car makes this capture no evidence: a problem told, counters or times that are not told."""
    elsewhere: Elsewhere = Elsewhere()
    clock_error_ns: int | None = None
    """By how much the host's clock is off at most, where the host itself says so."""

    @property
    def name(self) -> str:
        """``client-eth0`` for evidence: the file name without its suffix."""
        return self.file.rsplit(".", 1)[0]

    @property
    def healthy(self) -> bool | None:
        """True, False, or None when unknown. A file that ends in the middle of a record is not healthy,
        nor one that the side-car leaves in doubt."""
        if self.packets.truncated or self.doubts:
            return False
        return None if self.health is None else self.health.healthy
