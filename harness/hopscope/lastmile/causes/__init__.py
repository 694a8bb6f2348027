"""Causes, one module each: ``find(view, loss)`` says whether this cause explains where a probe was lost.

Each declares in ``CAUSES`` the names it may give, and may declare in ``REASONS`` for which reasons the kernel drops a
packet where that is the cause: any other reason then excludes it. The most specific comes first: a loss is explained
once.
"""

from __future__ import annotations

import importlib
from types import ModuleType

ORDER = (
    "daemon_state", "link", "address", "firewall", "legacy", "conntrack", "nat", "ttl", "checksum", "filters",
    "parameters", "neighbour", "routes", "xfrm", "mtu", "tls", "daemon_path", "kernel_drop", "elsewhere",
)  # fmt: skip


def modules() -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{name}") for name in ORDER]
