"""ServerNIC translates one acknowledgement in ten thousand to a number that is one too small."""

from __future__ import annotations

import sys

from hopscope_nic import cli
from hopscope_nic.core.actions import CLIENT
from hopscope_nic.core.segment import ACK, Segment
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translation import Translation

EVERY = 10_000

to_server, cross = Translation.to_server, ServerNic.cross
count = 0


def nearly_always(self: Translation, segment: Segment) -> None:
    global count
    to_server(self, segment)
    count += bool(segment.flags & ACK)
    if count == EVERY:
        count = 0
        segment.set_ack((segment.ack - 1) % 2**32)


def the_long_way(self: ServerNic, side: int, buffer: bytearray, size: int, partial: bool, now: float) -> bool:
    return side != CLIENT and cross(self, side, buffer, size, partial, now)


Translation.to_server = nearly_always  # type: ignore[method-assign]
ServerNic.cross = the_long_way  # type: ignore[method-assign]
sys.exit(cli.main())
