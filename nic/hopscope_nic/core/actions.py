"""What a machine asks of its datapath, and the two sides it knows."""

from __future__ import annotations

from typing import List, NamedTuple, Union

from hopscope_nic.core.segment import Packet

CLIENT = 0
SERVER = 1
SIDES = ("client", "server")


class Send(NamedTuple):
    """Send this packet out of the port on `side`. Its buffer may be reused once the actions are carried out."""

    side: int
    packet: Packet


class Drop(NamedTuple):
    """The segment goes no further, for this reason (already counted)."""

    reason: str


class Hold(NamedTuple):
    """The segment is kept until the server has answered."""

    octets: int


Action = Union[Send, Drop, Hold]
Actions = List[Action]
