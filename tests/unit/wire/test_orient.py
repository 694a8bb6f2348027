"""Sides of a box told from packets, whatever the files are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.wire import folder
from hopscope.wire.taps import Position
from support import chains, frames
from support.chains import PORTS, T0, Captures, Chain, write_pcap

BUILDS = [chains.plain, chains.hold, chains.stamp]


def position_of(path: Path, captures: Captures, names: dict[str, str]) -> dict[str, Position]:
    """Write captures under other names (port → file) and say where each file was placed."""
    path.mkdir(exist_ok=True)
    for port, name in names.items():
        write_pcap(path / name, sorted(captures[port], key=lambda pair: pair[0]))
    return {tap.file: tap.position for tap in folder.read(path).taps}


@pytest.mark.parametrize("build", BUILDS)
def test_two_captures_of_a_box_by_time(tmp_path: Path, build: object) -> None:
    chain = Chain()
    build(chain, T0)  # type: ignore[operator]
    names = {
        PORTS[1]: "clientnic-b.pcap",
        PORTS[2]: "clientnic-a.pcap",
        PORTS[3]: "servernic-9.pcap",
        PORTS[4]: "servernic-1.pcap",
    }
    assert position_of(tmp_path, chain.captures, names) == {
        "clientnic-b.pcap": Position.CLIENTNIC_LAN,
        "clientnic-a.pcap": Position.CLIENTNIC_WAN,
        "servernic-9.pcap": Position.SERVERNIC_WAN,
        "servernic-1.pcap": Position.SERVERNIC_LAN,
    }


def test_stamps_too_coarse_to_tell_leave_it_to_the_ttl(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    coarse = {
        port: [(time // 10**9 * 10**9, frame) for time, frame in capture] for port, capture in chain.captures.items()
    }
    names = {PORTS[1]: "clientnic-b.pcap", PORTS[2]: "clientnic-a.pcap"}
    assert position_of(tmp_path, coarse, names)["clientnic-b.pcap"] == Position.CLIENTNIC_LAN


def test_a_box_that_passes_no_syn_has_them_on_the_client_side(tmp_path: Path) -> None:
    chain = Chain()
    chains.Connection(chain, (1, 1, 1)).packet(T0, True, "S", 0, None, last=1)
    chain.add(2, T0, frames.arp())
    names = {PORTS[1]: "clientnic-b.pcap", PORTS[2]: "clientnic-a.pcap"}
    assert position_of(tmp_path, chain.captures, names)["clientnic-b.pcap"] == Position.CLIENTNIC_LAN


def test_one_known_side_tells_the_other(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    sidecar = {"links": [["servernic-eth0", "clientnic-eth0"]]}
    chain.write(tmp_path, sidecar=sidecar)
    taps = folder.read(tmp_path).taps
    assert [tap.file for tap in taps[1:3]] == ["clientnic-eth1.pcap", "clientnic-eth0.pcap"]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("endpoint", "port", "name"),
    [(0, 1, "clientnic-x.pcap"), (0, 2, "clientnic-x.pcap"), (5, 3, "servernic-x.pcap"), (5, 4, "servernic-x.pcap")],
)
def test_one_capture_of_a_box_by_the_frames_of_its_neighbour(
    tmp_path: Path, build: object, endpoint: int, port: int, name: str
) -> None:
    chain = Chain()
    build(chain, T0)  # type: ignore[operator]
    end = PORTS[endpoint]
    assert position_of(tmp_path, chain.captures, {end: f"{end}.pcap", PORTS[port]: name})[name] == port


@pytest.mark.parametrize(
    ("name", "position"), [("clientnic-wan.pcap", 2), ("servernic_middle.pcap", 3), ("servernic-lan.pcap", 4)]
)
def test_with_no_neighbour_the_name_is_all_there_is(tmp_path: Path, name: str, position: int) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    assert position_of(tmp_path, chain.captures, {PORTS[position]: name}) == {name: position}


def test_with_nothing_to_tell_a_guess_is_said(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    assert position_of(tmp_path, chain.captures, {PORTS[1]: "clientnic-x.pcap"}) == {"clientnic-x.pcap": 1}
    assert "nothing tells" in folder.read(tmp_path).notes[0]


def test_more_captures_than_ports_leave_the_quiet_ones_out(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.write(tmp_path)
    ident = frames.segment(50000, 80, "S", 5, dst="169.254.169.254")
    write_pcap(tmp_path / "clientnic-mgmt.pcap", [(T0, ident)] * 9)
    write_pcap(tmp_path / "client-lo.pcap", [(T0, frames.segment(1, 2, "A"))])
    content = folder.read(tmp_path)
    assert [tap.position for tap in content.taps] == list(Position)
    assert sorted(note.split(":")[0] for note in content.notes) == ["client-lo.pcap", "clientnic-mgmt.pcap"]
