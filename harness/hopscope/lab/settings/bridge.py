"""Two ports of a box in the middle of a link, joined by the kernel: a wire without a length."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back

BRIDGE = "hopscope0"
APART = "apart"


@dataclass
class Bridge:
    """``ports`` are interfaces that belong to no bridge."""

    host: str
    ports: tuple[str, str]

    @property
    def name(self) -> str:
        return f"bridge {BRIDGE}"

    @property
    def wanted(self) -> str:
        return " ".join(self.ports)

    def read(self, executor: Executor) -> str:
        listed = json.loads(executor.run(["ip", "-json", "link", "show"]).stdout)
        joined = [entry["ifname"] for entry in listed if entry.get("master") == BRIDGE]
        return " ".join(port for port in self.ports if port in joined) or APART

    def apply(self, executor: Executor) -> None:
        executor.run(["ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "mcast_snooping", "0"])
        for port in self.ports:
            executor.run(["ip", "link", "set", "dev", port, "master", BRIDGE, "up"], check=False)
        executor.run(["ip", "link", "set", "dev", BRIDGE, "up"], check=False)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        executor.run(["ip", "link", "del", BRIDGE], check=False)
