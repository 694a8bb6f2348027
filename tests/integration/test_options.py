"""Every TCP option that either end can do without, off in turn: what one end is promised and the other declines.

The datapaths have no table of servers: a server whose options are known to nobody (each here is one) is promised what
its client asked for, and what it then lacks is taken out of every segment on its way.
"""

from __future__ import annotations

import pytest

from hopscope.checks.verdict import Outcome
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.sysctl import Sysctl

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

OFF = ("tcp_timestamps", "tcp_sack", "tcp_window_scaling")
WINDOWS = {"scale 0": "4096 32768 32768", "scale 14": "4096 131072 1073725440"}
CASES = {f"no {name} at the {end}": [(end, name, "0")] for name in OFF for end in ("client", "server")}
CASES |= {f"none of them at the {end}": [(end, name, "0") for name in OFF] for end in ("client", "server")}
CASES |= {
    f"{name} at the {end}": [(end, "tcp_rmem", value)]
    for name, value in WINDOWS.items()
    for end in ("client", "server")
}
CASES |= {
    f"scale {one} at the client, {other} at the server": [
        ("client", "tcp_rmem", WINDOWS[f"scale {one}"]),
        ("server", "tcp_rmem", WINDOWS[f"scale {other}"]),
    ]
    for one, other in ((0, 14), (14, 0))
}
CASES |= {"ECN asked for": [("client", "tcp_ecn", "1"), ("server", "tcp_ecn", "1")]}
