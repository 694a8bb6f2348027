"""Causes, one module each: ``find(view, loss)`` says whether this cause explains where a probe was lost.

Each declares in ``CAUSES`` the names it may give. The most specific comes first: a loss is explained once.
"""

from __future__ import annotations

import importlib
from types import ModuleType

ORDER = (
    "daemon_state", "link", "address", "firewall", "legacy", "nat", "ttl", "filters", "parameters", "neighbour",
    "routes", "mtu", "tls", "daemon_path", "elsewhere",
)  # fmt: skip


def modules() -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{name}") for name in ORDER]
