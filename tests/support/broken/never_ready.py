"""ClientNIC works, and never says that it is ready."""

from __future__ import annotations

import sys
from typing import Any

from hopscope_nic import cli
from hopscope_nic.io.events import Events

emit = Events.emit


def all_but_ready(self: Events, event: str, **fields: Any) -> None:
    if event != "ready":
        emit(self, event, **fields)


Events.emit = all_but_ready  # type: ignore[method-assign]
sys.exit(cli.main())
