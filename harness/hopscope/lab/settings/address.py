"""An IPv4 address of a device, there or not, and the routes that come and go with it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back
from hopscope.lab.settings.presence import NONE, THERE
from hopscope.lab.settings.route import parse_routes


@dataclass
class Address:
    """``address`` of ``device``, with its ``prefix`` or its ``peer``; ``wanted`` is "there" or "none".

    With its last address a device loses all its routes: those that were there before come back with ``undo``.
    """

    host: str
    address: str
    device: str
    peer: str = ""
    wanted: str = THERE
    prefix: int = 32
    _before: str | None = field(default=None, init=False, repr=False)
    _routes: list[list[str]] = field(default_factory=list, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"address {self.address} on {self.device}"

    def read(self, executor: Executor) -> str:
        listed = json.loads(executor.run(["ip", "-j", "-4", "addr", "show", "dev", self.device]).stdout or "[]")
        there = {info.get("local") for link in listed for info in link.get("addr_info", ())}
        return THERE if self.address in there else NONE

    def apply(self, executor: Executor) -> None:
        self._before, self._routes = self.read(executor), self._of_device(executor)
        self._make(executor, self.wanted)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is None:
            return
        self._make(executor, self._before)
        left = self._of_device(executor)
        for words in self._routes:
            if words not in left:
                executor.run(["ip", "-4", "route", "append", *words], check=False)  # read back by whoever compares

    def words(self, verb: str) -> list[str]:
        """The command that adds or deletes it."""
        which = [self.address, "peer", self.peer] if self.peer else [f"{self.address}/{self.prefix}"]
        return ["ip", "addr", verb, *which, "dev", self.device]

    def _make(self, executor: Executor, wanted: str) -> None:
        if self.read(executor) != wanted:
            executor.run(self.words("add" if wanted == THERE else "del"), check=False)  # read back

    def _of_device(self, executor: Executor) -> list[list[str]]:
        told = executor.run(["ip", "-4", "route", "show", "table", "main", "dev", self.device], check=False).text
        return [[words[0], "dev", self.device, *words[1:]] for words in parse_routes(told)]
