"""ClientNIC sends its SYN-ACK twice for one SYN, the same both times."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from hopscope_nic import cli
from hopscope_nic.core.actions import CLIENT, Action, Send
from hopscope_nic.core.client_nic import ClientNic

greet = ClientNic._greet


def twice(self: ClientNic, *arguments: Any) -> Iterator[Action]:
    for action in greet(self, *arguments):
        yield action
        if isinstance(action, Send) and action.side == CLIENT:
            yield action


ClientNic._greet = twice  # type: ignore[method-assign]
sys.exit(cli.main())
