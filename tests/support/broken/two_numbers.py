"""ClientNIC answers one SYN with two SYN-ACKs of different numbers; the client takes the first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from hopscope_nic import cli
from hopscope_nic.core.actions import CLIENT, Action, Send
from hopscope_nic.core.client_nic import ClientNic
from hopscope_nic.core.segment import Segment, build

greet = ClientNic._greet


def with_another(self: ClientNic, key: bytes, segment: Segment, *arguments: Any) -> Iterator[Action]:
    isn = segment.seq
    for action in greet(self, key, segment, *arguments):
        yield action
        if isinstance(action, Send) and action.side == CLIENT:
            yield Send(CLIENT, build(key[4:8] + key[:4] + key[10:] + key[8:10], 4711, (isn + 1) % 2**32, 0x12, 64240))


ClientNic._greet = with_another  # type: ignore[method-assign]
sys.exit(cli.main())
