"""One rule of ours at the head of a chain that is somebody else's, known by its comment."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back
from hopscope.lab.settings.presence import NONE, THERE


@dataclass
class NftRule:
    """``rule`` without its comment; the chain's policy and other rules stay as they are."""

    host: str
    family: str
    table: str
    chain: str
    rule: str
    comment: str
    wanted: str = THERE

    @property
    def name(self) -> str:
        return f"nft insert {self.family} {self.table} {self.chain}: {self.rule}"

    def read(self, executor: Executor) -> str:
        return THERE if self._handles(executor) else NONE

    def apply(self, executor: Executor) -> None:
        if not self._handles(executor):
            command = f'insert rule {self.family} {self.table} {self.chain} {self.rule} comment "{self.comment}"\n'
            executor.run(["nft", "-f", "-"], stdin=command.encode(), check=False)  # read back

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        for handle in self._handles(executor):
            executor.run(["nft", "delete", "rule", self.family, self.table, self.chain, "handle", str(handle)])

    def _handles(self, executor: Executor) -> list[int]:
        argv = ["nft", "-j", "list", "chain", self.family, self.table, self.chain]
        result = executor.run(argv, check=False)
        if result.returncode != 0:
            return []
        rules = [each["rule"] for each in json.loads(result.stdout)["nftables"] if "rule" in each]
        return [rule["handle"] for rule in rules if rule.get("comment") == self.comment]
