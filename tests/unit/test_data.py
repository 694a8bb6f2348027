from __future__ import annotations

from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.model.laid import lay
from hopscope.model.sut import Placement


def test_built_in_files_and_what_is_near() -> None:
    assert data.path("topologies/chain.yaml").is_file()
    with pytest.raises(UsageError, match=r"did you mean 'topologies/chain\.yaml'"):
        data.path("topologies/chian.yaml")
    with pytest.raises(UsageError, match="did you mean 'stamp'"):
        data.find("suts", "stmp")


def test_a_file_beside_the_asker_comes_before_the_built_in(tmp_path: Path) -> None:
    assert data.find("topologies", "chain", beside=tmp_path) == data.path("topologies/chain.yaml")
    mine = tmp_path / "chain.yaml"
    mine.write_text(data.path("topologies/chain.yaml").read_text())
    assert data.find("topologies", "chain", beside=tmp_path) == mine
    assert data.find("topologies", "chain.yaml", root=tmp_path) == mine


def test_every_built_in_loads_and_fits_the_chain_or_lies_between_two_hosts() -> None:
    chain, tunnel = data.topology("chain"), data.topology("tunnel")
    placements, tunnels = {}, {}
    for file in data.path("suts").glob("*.yaml"):
        sut = data.sut(file.stem, chain)
        assert sut.name == file.stem
        if sut.tunnel is not None:
            tunnels[sut.name] = (lay(tunnel, sut).server, sorted(tunnel.boxes(sut)))
        else:
            placements[sut.name] = (sut.placement, sorted(chain.boxes(sut)))
    ends = ("right", ["left", "right"])
    assert tunnels == dict.fromkeys(["openvpn", "socat", "ssh-w", "sssonector"], ends)
    assert placements == {
        "kernel": (Placement.NONE, []),
        "hold": (Placement.HOLD, ["clientnic"]),
        "stamp": (Placement.STAMP, ["clientnic", "servernic"]),
        "hold-afpacket": (Placement.HOLD, ["clientnic"]),
        "stamp-afpacket": (Placement.STAMP, ["clientnic", "servernic"]),
        "haproxy": (Placement.PROXY, ["clientnic"]),
        "synproxy": (Placement.HOLD, ["clientnic"]),
        "zero-rtt-demo": (Placement.HOLD, ["clientnic", "servernic"]),
    }


def test_a_topology_of_its_own_sut_comes_first() -> None:
    chain = data.topology("chain")
    mine = data.sut("stamp").model_copy(update={"description": "mine"})
    assert data.sut("stamp", chain.model_copy(update={"suts": {"stamp": mine}})).description == "mine"
