from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope.errors import EnvironmentFault, SettingRefused
from hopscope.lab.settings import impairment
from hopscope.model.topology import Impairment
from support.fakes import FakeProcess, fake_host, files


class TestNetem:
    def qdisc(self, delay: float, loss: float) -> str:
        options = {"limit": 200000, "delay": {"delay": delay, "jitter": 0, "correlation": 0}, "ecn": False, "gap": 0}
        if loss:
            options["loss-random"] = {"loss": loss, "correlation": 0}
        return json.dumps([{"kind": "netem", "handle": "1:", "root": True, "options": options}])

    def test_life(self, tmp_path: Path) -> None:
        world = {"a": self.qdisc(0.01, 0), "b": self.qdisc(0.01, 0)}
        written: list[Sequence[str]] = []

        def answer(argv: Sequence[str], stdin: bytes | None) -> str:
            end = argv[argv.index("dev") + 1]
            if "replace" in argv:
                written.append(argv)
                loss = float(argv[-1].rstrip("%")) / 100 if "loss" in argv else 0.0
                world[end] = self.qdisc(float(argv[argv.index("delay") + 1].removesuffix("us")) / 1e6, loss)
            return world[end]

        executor = fake_host(tmp_path, answer)
        setting = impairment.NetemImpairment("wan", Impairment(rtt_ms=61, loss=0.005))
        assert setting.read(executor) == "delay_ms=10 loss=0"
        setting.apply(executor)
        assert setting.verify(executor) == "delay_ms=30.5 loss=0.005"
        assert [argv[argv.index("dev") + 1] for argv in written] == ["a", "b"], "both directions"
        setting.undo(executor)
        assert setting.read(executor) == "delay_ms=10 loss=0"

    def test_both_directions_are_told_where_they_differ(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: self.qdisc(0.01 if "a" in argv else 0.02, 0))
        setting = impairment.NetemImpairment("wan", Impairment(rtt_ms=20))
        with pytest.raises(SettingRefused, match="delay_ms=10 loss=0 / delay_ms=20 loss=0"):
            setting.verify(executor)

    def test_no_netem_reads_as_nothing(self) -> None:
        assert impairment.parse_netem([{"kind": "noqueue", "options": {}}]) == {"delay_ms": 0.0, "loss": 0.0}

    def test_ports_of_somebody_elses_box_have_no_netem_afterwards(self, tmp_path: Path) -> None:
        default = json.dumps([{"kind": "fq_codel", "handle": "0:", "root": True, "options": {}}])
        world = {"ens4": default, "ens5": default}

        def answer(argv: Sequence[str], stdin: bytes | None) -> str:
            port = argv[argv.index("dev") + 1]
            if "replace" in argv:
                world[port] = self.qdisc(float(argv[argv.index("delay") + 1].removesuffix("us")) / 1e6, 0)
            elif "del" in argv:
                world[port] = default
            return world[port]

        executor = fake_host(tmp_path, answer)
        setting = impairment.NetemImpairment("wan", Impairment(rtt_ms=40), ("ens4", "ens5"))
        setting.apply(executor)
        assert setting.verify(executor) == "delay_ms=20 loss=0"
        again = impairment.NetemImpairment("wan", Impairment(rtt_ms=60), ("ens4", "ens5"))
        again.apply(executor)
        assert again.verify(executor) == "delay_ms=30 loss=0"
        again.undo(executor)
        assert setting.verify(executor) == "delay_ms=20 loss=0"
        setting.undo(executor)
        assert set(world.values()) == {default}

    def test_a_queue_that_somebody_has_made_is_not_replaced(self, tmp_path: Path) -> None:
        theirs = json.dumps([{"kind": "htb", "handle": "1:", "root": True, "options": {}}])
        executor = fake_host(tmp_path, lambda argv, stdin: theirs)
        setting = impairment.NetemImpairment("wan", Impairment(rtt_ms=40), ("ens4", "ens5"))
        with pytest.raises(EnvironmentFault, match=r"ens4 has a queue of its own \(htb\)"):
            setting.apply(executor)
        assert not [argv for argv in executor.commands if "show" not in argv]

    def test_reordering_is_not_netems(self, tmp_path: Path) -> None:
        setting = impairment.NetemImpairment("wan", Impairment(rtt_ms=20, reorder=0.1))
        with pytest.raises(EnvironmentFault, match="delay line"):
            setting.apply(fake_host(tmp_path, lambda argv, stdin: "[]"))


class TestLine:
    def test_life(self, tmp_path: Path) -> None:
        control = tmp_path / "line.json"

        def obeys(sig: int) -> None:
            with line.stdout.open("a") as out:
                out.write(json.dumps({"event": "changed", "options": json.loads(content[str(control)])}) + "\n")

        line = FakeProcess(tmp_path, obeys)
        line.stdout.write_text(
            '{"event": "ready", "options": {"delay_ms": 10.0, "loss": 0.0, "reorder": 0.0, "reorder_ms": 1.0}}\n'
        )
        content = {str(control): ""}
        executor = fake_host(tmp_path, files(content))
        setting = impairment.LineImpairment("wan", Impairment(rtt_ms=40, loss=0.1), line, control)
        setting.apply(executor)
        assert setting.verify(executor) == "delay_ms=20 loss=0.1 reorder=0 reorder_ms=1"
        assert line.signals == [1]
        setting.undo(executor)
        assert setting.read(executor) == "delay_ms=10 loss=0 reorder=0 reorder_ms=1"
        assert line.signals == [1, 1]

    def test_one_that_has_died_is_refused(self, tmp_path: Path) -> None:
        line = FakeProcess(tmp_path)
        line.stdout.write_text('{"event": "ready", "options": {"delay_ms": 10.0}}\n')
        line.stop()
        setting = impairment.LineImpairment("wan", Impairment(rtt_ms=40), line, tmp_path / "line.json")
        executor = fake_host(tmp_path, lambda argv, stdin: "")
        setting.apply(executor)
        with pytest.raises(SettingRefused, match="seen:   delay_ms=10"):
            setting.verify(executor)
