"""ClientNIC counts five hundred segments as sent that never left."""

from __future__ import annotations

import sys
from typing import Any

from hopscope_nic import cli
from hopscope_nic.io.afpacket import AfPacket

snapshot = AfPacket.snapshot


def boastful(self: AfPacket) -> dict[str, Any]:
    told = snapshot(self)
    told["sent_server"] += 500
    return told


AfPacket.snapshot = boastful  # type: ignore[method-assign]
sys.exit(cli.main())
