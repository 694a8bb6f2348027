"""ServerNIC reads the stamp and does not zero it: the server sees the client's spoofed number in the SYN."""

from __future__ import annotations

import sys

from hopscope_nic import cli
from hopscope_nic.core.segment import Segment

set_ack = Segment.set_ack


def but_not_to_zero(self: Segment, value: int) -> None:
    if value:
        set_ack(self, value)


Segment.set_ack = but_not_to_zero  # type: ignore[method-assign]
sys.exit(cli.main())
