"""ServerNIC never forgets a flow: its table grows until it is full."""

from __future__ import annotations

import sys
from typing import Any

from hopscope_nic import cli
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.translator import Translator


def not_yet(self: Translator, flow: Flow, now: float) -> list[Any]:
    self.flows.schedule(flow, now + 60.0)
    return []


Translator._due = not_yet  # type: ignore[method-assign]
sys.exit(cli.main())
