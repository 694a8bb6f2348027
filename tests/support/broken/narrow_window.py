"""ServerNIC tells the client half of the server's window, in every segment."""

from __future__ import annotations

import sys

from hopscope_nic import cli
from hopscope_nic.core.segment import Segment
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translation import Translation

to_client = Translation.to_client


def half(self: Translation, segment: Segment) -> None:
    to_client(self, segment)
    segment.set_window(segment.window // 2)


Translation.to_client = half  # type: ignore[method-assign]
ServerNic.cross = lambda *arguments: False  # type: ignore[method-assign]
sys.exit(cli.main())
