"""How a link with a box in its middle is made: by what the box's kernel has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.lab.lab import Lab
from hopscope.lab.settings.impairment import NetemImpairment
from hopscope.model.inventory import Inventory
from hopscope.model.topology import Impairment
from hopscope.providers.inventory import Finding, _has_netem
from support.fakes import FakeExecutor

CHAIN = data.topology("chain")
WAN = CHAIN.wan.name
INVENTORY = Inventory.model_validate(
    {
        "hosts": {name: {"address": name} for name in [*(host.name for host in CHAIN.hosts), "box"]},
        "links": {WAN: {"host": "box", "ports": ["ens4", "ens5"]}},
    }
)


class Box(FakeExecutor):
    """A bridge, and a queue at each port, as ip and tc tell of them."""

    def __init__(self, directory: Path, netem: bool) -> None:
        super().__init__("box", directory, self.tell)
        self.netem = netem
        self.joined: list[str] = []
        self.queues: dict[str, list[dict[str, Any]]] = {}

    def tell(self, argv: Sequence[str], stdin: bytes | None) -> str | int:
        match argv:
            case ["modprobe", *_]:
                return 0 if self.netem else 1
            case ["ip", "link", "set", "dev", port, "master", *_]:
                self.joined.append(port)
            case ["ip", "link", "del", "hopscope0"]:
                self.joined.clear()
            case ["ip", "-json", "link", "show"]:
                return json.dumps([{"ifname": port, "master": "hopscope0"} for port in self.joined])
            case ["tc", "-j", "qdisc", "show", "dev", port]:
                return json.dumps(self.queues.get(port, []))
            case ["tc", "qdisc", "replace", "dev", port, "root", _, _, "netem", *words]:
                delay = float(words[words.index("delay") + 1].removesuffix("us")) / 1e6
                self.queues[port] = [{"kind": "netem", "root": True, "options": {"delay": {"delay": delay}}}]
            case ["tc", "qdisc", "del", "dev", port, "root"]:
                del self.queues[port]
        return ""


def found(box: Box, directory: Path) -> Finding:
    hosts: Any = {host.name: object() for host in CHAIN.hosts}
    finding = Finding(CHAIN, INVENTORY, directory, hosts | {"box": box}, 60.0)
    finding.netem = {"box": _has_netem(box)}  # type: ignore[arg-type]
    return finding


@pytest.mark.parametrize(("netem", "rtt_ms", "made"), [(1, 20, "netem"), (0, 20, "packet-line"), (1, 0, "bridge")])
def test_a_box_in_the_middle_does_it_as_its_kernel_can(tmp_path: Path, netem: int, rtt_ms: float, made: str) -> None:
    mechanisms = found(Box(tmp_path, bool(netem)), tmp_path)._mechanisms(CHAIN.with_rtt(rtt_ms))
    assert mechanisms == {link.name: "found" for link in CHAIN.links} | {WAN: made}


def test_netem_in_the_middle_is_read_back_changed_and_gone_at_the_end(tmp_path: Path) -> None:
    box = Box(tmp_path, netem=True)
    finding = found(box, tmp_path)
    finding.mapped = CHAIN
    with Lab("mine", CHAIN, tmp_path, {}, finding._mechanisms(CHAIN)) as lab:
        finding._join(lab)
        assert [each.seen for each in lab.settings] == ["ens4 ens5", "delay_ms=10 loss=0"]
        changed = lab.impairment(WAN, Impairment(rtt_ms=60))
        assert isinstance(changed, NetemImpairment)
        with lab.applied(changed) as (record,):
            assert record.seen == "delay_ms=30 loss=0"
        assert box.queues["ens5"][0]["options"]["delay"]["delay"] == 0.01
    assert (box.queues, box.joined) == ({}, [])
