from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from hopscope.errors import CommandFailed, EnvironmentFault
from hopscope.lab.settings import nft_table
from support.fakes import fake_host


class TestNftTable:
    CHAINS: ClassVar[dict[str, nft_table.Chain]] = {
        "in": nft_table.Chain("type filter hook input priority 0;", ("tcp dport 1 drop", "accept"))
    }

    def table(self) -> nft_table.NftTable:
        return nft_table.NftTable("client", "ours", self.CHAINS)

    def test_document_is_one_transaction(self) -> None:
        assert self.table().document == (
            "table inet ours {\n  chain in {\n    type filter hook input priority 0;\n"
            "    tcp dport 1 drop\n    accept\n  }\n}\n"
        )
        assert self.table().wanted == "in: 2 rules"

    def test_life(self, tmp_path: Path) -> None:
        there: list[bool] = []

        def answer(argv: Sequence[str], stdin: bytes | None) -> str | int:
            if argv[1] == "-f":
                there.append(True)
            elif argv[1] == "delete":
                there.clear()
            elif not there:
                return 1
            rule = {"rule": {"chain": "in"}}
            return json.dumps({"nftables": [{"metainfo": {}}, {"chain": {"name": "in"}}, rule, rule]})

        executor = fake_host(tmp_path, answer)
        setting = self.table()
        assert setting.read(executor) == "none"
        setting.apply(executor)
        assert setting.verify(executor) == "in: 2 rules"
        setting.undo(executor)
        assert setting.read(executor) == "none"
        setting.undo(executor)
        assert sum(command[1] == "delete" for command in executor.commands) == 1

    def test_a_table_that_is_there_is_not_ours(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: json.dumps({"nftables": []}))
        setting = self.table()
        with pytest.raises(EnvironmentFault, match="not ours"):
            setting.apply(executor)
        setting.undo(executor)
        assert all(command[1] != "delete" for command in executor.commands)

    def test_what_nft_turns_down_raises(self, tmp_path: Path) -> None:
        with pytest.raises(CommandFailed):
            self.table().apply(fake_host(tmp_path, lambda argv, stdin: 1))
