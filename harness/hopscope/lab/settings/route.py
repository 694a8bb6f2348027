"""A route of a host, in its main table."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back

NONE = "none"
STATES = ("linkdown", "dead")  # what ip tells about a route and does not take


@dataclass
class Route:
    """``destination`` by way of ``via`` or out of ``port``, or both; with neither the host is to have no such route.

    What routes there are for exactly this destination are replaced by one: adding beside a wrong one would fail.
    ``plain`` says that it is to have no source address and no MTU of its own.
    """

    host: str
    destination: str
    via: str | None = None
    port: str | None = None
    plain: bool = False
    _before: list[list[str]] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"route {self.destination}"

    @property
    def wanted(self) -> str:
        return _text({"gateway": self.via, "dev": self.port})

    def read(self, executor: Executor) -> str:
        """The next hop and, where ``wanted`` names one, the port; several routes are told with a comma."""
        listed = json.loads(executor.run([*self._ip("-json"), "route", "show", *self._exact()]).stdout or "[]")
        if self.port is None and self.via is not None:
            listed = [{"gateway": route.get("gateway")} for route in listed]
        return ", ".join(_text(route) + (_attributes(route) if self.plain else "") for route in listed) or NONE

    def apply(self, executor: Executor) -> None:
        self._before = parse_routes(executor.run([*self._ip(), "route", "show", *self._exact()]).text)
        if len(self._before) > 1:
            self._flush(executor)
        words = [word for key, value in (("via", self.via), ("dev", self.port)) if value for word in (key, value)]
        if words:
            executor.run([*self._ip(), "route", "replace", self.destination, *words], check=False)  # read back
        else:
            self._flush(executor)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is None:
            return
        self._flush(executor)
        for number, words in enumerate(self._before):
            verb = "append" if number and self._ip()[1] == "-4" else "add"  # beside the first another one "exists"
            executor.run([*self._ip(), "route", verb, *words])

    def _flush(self, executor: Executor) -> None:
        executor.run([*self._ip(), "route", "flush", *self._exact()], check=False)

    def _exact(self) -> list[str]:
        return ["table", "main", "exact", self.destination]

    def _ip(self, *options: str) -> list[str]:
        version = ipaddress.ip_network(self.destination).version if self.destination != "default" else 4
        return ["ip", f"-{version}", *options]


def parse_routes(text: str) -> list[list[str]]:
    """The routes of ``ip route show`` as ``ip route add`` takes them: metric, source, protocol and all next hops."""
    routes: list[list[str]] = []
    for line in text.splitlines():
        words = [word for word in line.split() if word not in STATES]
        if line[:1].isspace() and routes:
            routes[-1] += words  # a next hop of the route above
        elif words:
            routes.append(words)
    return routes


def _text(route: dict[str, Any]) -> str:
    pairs = (("via", route.get("gateway")), ("dev", route.get("dev")))
    return " ".join(f"{key} {value}" for key, value in pairs if value) or NONE


def _attributes(route: dict[str, Any]) -> str:
    mtus = [each["mtu"] for each in route.get("metrics", ()) if each.get("mtu")]
    told = {"src": route.get("prefsrc"), "mtu": mtus[0] if mtus else None}
    return "".join(f" {word} {value}" for word, value in told.items() if value)
