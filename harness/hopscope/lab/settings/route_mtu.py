"""The path MTU to one destination, said to the host that does not learn it: a host route with ``mtu``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back
from hopscope.lab.settings.route import parse_routes

NONE = "none"


@dataclass
class RouteMtu:
    """``bytes`` for packets to ``destination`` alone, by the way that they take already."""

    host: str
    destination: str
    bytes: int
    _before: list[list[str]] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"path mtu to {self.destination}"

    @property
    def wanted(self) -> str:
        return str(self.bytes)

    def read(self, executor: Executor) -> str:
        argv = ["ip", "-json", "-details", "route", "show", "table", "main", "exact", f"{self.destination}/32"]
        listed = json.loads(executor.run(argv).stdout or "[]")
        values = [each.get("mtu") for route in listed for each in route.get("metrics", [])]
        return str(next((each for each in values if each), NONE))

    def apply(self, executor: Executor) -> None:
        exact = ["ip", "route", "show", "table", "main", "exact", f"{self.destination}/32"]
        self._before = parse_routes(executor.run(exact).text)
        way = json.loads(executor.run(["ip", "-json", "route", "get", self.destination]).stdout)[0]
        via = ["via", way["gateway"]] if way.get("gateway") else []
        argv = ["ip", "route", "replace", f"{self.destination}/32", *via, "dev", way["dev"], "mtu", self.wanted]
        executor.run(argv, check=False)  # read back

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is None:
            return
        executor.run(["ip", "route", "flush", "table", "main", "exact", f"{self.destination}/32"], check=False)
        for words in self._before:
            executor.run(["ip", "route", "add", *words])
