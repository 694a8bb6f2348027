"""ServerNIC asks the server for segments of 9 kB, whatever the client has asked for."""

from __future__ import annotations

import sys
from typing import Any

from hopscope_nic import cli
from hopscope_nic.core.options import MSS, walk
from hopscope_nic.core.segment import U16, Segment
from hopscope_nic.core.server_nic import ServerNic

syn = ServerNic._syn
LARGE = 8960


def larger(self: ServerNic, segment: Segment, now: float) -> Any:
    for kind, at, _ in walk(segment.buffer, segment.l4 + 20, segment.header_end):
        if kind == MSS:
            (was,) = U16.unpack_from(segment.buffer, at + 2)
            U16.pack_into(segment.buffer, at + 2, LARGE)
            segment.add_to_checksum(LARGE - was)
    return syn(self, segment, now)


ServerNic._syn = larger  # type: ignore[method-assign]
sys.exit(cli.main())
