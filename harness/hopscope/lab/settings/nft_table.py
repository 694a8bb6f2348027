"""An nft table of our own on a host: rules that come and go together, and touch nobody else's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back

NONE = "none"


@dataclass(frozen=True)
class Chain:
    """``hook`` as nft has it (``type filter hook forward priority 0; policy accept;``), empty for a plain chain."""

    hook: str
    rules: tuple[str, ...] = ()


@dataclass
class NftTable:
    """``chains`` by name. What is read back is how many rules each chain has: nft prints rules in its own words."""

    host: str
    table: str
    chains: Mapping[str, Chain]
    family: str = "inet"
    _applied: bool = field(default=False, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"nft table {self.family} {self.table}"

    @property
    def wanted(self) -> str:
        return _text({name: len(chain.rules) for name, chain in self.chains.items()})

    @property
    def document(self) -> str:
        """The table as ``nft -f`` takes it: one transaction, all or nothing."""
        lines = [f"table {self.family} {self.table} {{"]
        for name, chain in self.chains.items():
            lines += [f"  chain {name} {{", *(f"    {line}" for line in (chain.hook, *chain.rules) if line), "  }"]
        return "\n".join([*lines, "}", ""])

    def read(self, executor: Executor) -> str:
        listed = executor.run(["nft", "-j", "list", "table", self.family, self.table], check=False)
        if listed.returncode != 0:
            return NONE
        counts: dict[str, int] = {}
        for entry in json.loads(listed.stdout)["nftables"]:
            if "chain" in entry:
                counts.setdefault(entry["chain"]["name"], 0)
            elif "rule" in entry:
                counts[entry["rule"]["chain"]] = counts.get(entry["rule"]["chain"], 0) + 1
        return _text(counts)

    def apply(self, executor: Executor) -> None:
        if self.read(executor) != NONE:
            raise EnvironmentFault(f"{self.name} is there already, and not ours", host=self.host)
        executor.run(["nft", "-f", "-"], stdin=self.document.encode())
        self._applied = True

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._applied:
            executor.run(["nft", "delete", "table", self.family, self.table])
            self._applied = False


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count} rules" for name, count in sorted(counts.items())) or "no chains"
