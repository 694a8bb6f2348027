"""Whether a device is up, as its administrator says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back


@dataclass
class LinkState:
    host: str
    port: str
    wanted: str = "up"
    _before: str | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"link {self.port}"

    def read(self, executor: Executor) -> str:
        listed = json.loads(executor.run(["ip", "-json", "link", "show", "dev", self.port]).stdout)
        return "up" if "UP" in listed[0]["flags"] else "down"

    def apply(self, executor: Executor) -> None:
        self._before = self.read(executor)
        executor.run(["ip", "link", "set", "dev", self.port, self.wanted], check=False)  # read back

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            executor.run(["ip", "link", "set", "dev", self.port, self._before], check=False)
