from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hopscope.lab.settings import mtu
from support.fakes import fake_host


class TestMtu:
    def test_life(self, tmp_path: Path) -> None:
        world = {"mtu": 1500}

        def answer(argv: Sequence[str], stdin: bytes | None) -> str:
            if "set" in argv:
                world["mtu"] = int(argv[-1])
                return ""
            return json.dumps([{"ifname": "eth0", "mtu": world["mtu"]}])

        executor = fake_host(tmp_path, answer)
        setting = mtu.Mtu("client", "eth0", 1400)
        setting.apply(executor)
        assert (setting.verify(executor), world["mtu"]) == ("1400", 1400)
        setting.undo(executor)
        assert world["mtu"] == 1500
