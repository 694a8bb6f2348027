"""ServerNIC leaves one TCP checksum wrong; the client drops that segment, and the server sends it again."""

from __future__ import annotations

import sys

from hopscope_nic import cli
from hopscope_nic.core.segment import Segment
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translation import Translation

to_client = Translation.to_client
done = False


def but_for_one(self: Translation, segment: Segment) -> None:
    global done
    to_client(self, segment)
    if segment.payload_length and not done:
        done = True
        segment.add_to_checksum(1)


Translation.to_client = but_for_one  # type: ignore[method-assign]
ServerNic.cross = lambda *arguments: False  # type: ignore[method-assign]
sys.exit(cli.main())
