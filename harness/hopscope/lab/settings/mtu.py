"""The MTU of one port."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back


@dataclass
class Mtu:
    """``bytes`` is the largest IP packet; the Ethernet header is not counted."""

    host: str
    port: str
    bytes: int
    _before: str | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"mtu {self.port}"

    @property
    def wanted(self) -> str:
        return str(self.bytes)

    def read(self, executor: Executor) -> str:
        return str(json.loads(executor.run(["ip", "-json", "link", "show", "dev", self.port]).stdout)[0]["mtu"])

    def apply(self, executor: Executor) -> None:
        self._before = self.read(executor)
        self._write(executor, self.wanted)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._write(executor, self._before)

    def _write(self, executor: Executor, value: str) -> None:
        executor.run(["ip", "link", "set", "dev", self.port, "mtu", value], check=False)  # read back
