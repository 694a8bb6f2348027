"""Folders: names, side-car, what is left out and said."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from hopscope.errors import HarnessFault
from hopscope.wire import folder
from hopscope.wire.taps import Position, TapHealth
from hopscope.wire.trace import Trace
from hopscope.wire.writer import write_pcap
from support import chains, frames
from support.chains import PORTS, T0, Chain

FRAME = frames.segment(40000, 8080, "S", 7)


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("client-eth0.pcap", Position.CLIENT),
        ("CLIENT_side.PCAP", Position.CLIENT),
        ("client.pcapng", Position.CLIENT),
        ("Server.2026-02-26.pcap", Position.SERVER),
        ("server-ens5.cap", Position.SERVER),
    ],
)
def test_file_names_say_the_host(tmp_path: Path, name: str, position: Position) -> None:
    write_pcap(tmp_path / name, [(T0, FRAME)])
    (tap,) = folder.read(tmp_path).taps
    assert (tap.position, tap.file, tap.healthy) == (position, name, None)


def test_other_names_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("client-eth0.pcap", "clients.pcap", "tun0.pcap", "notes.txt"):
        write_pcap(tmp_path / name, [(T0, FRAME)])
    content = folder.read(tmp_path)
    assert [tap.file for tap in content.taps] == ["client-eth0.pcap"]
    assert [note.split(":")[0] for note in content.notes] == ["clients.pcap", "tun0.pcap"]


def test_a_folder_without_captures_is_said(tmp_path: Path) -> None:
    with pytest.raises(HarnessFault, match="HOST-ANYTHING"):
        folder.read(tmp_path)
    with pytest.raises(HarnessFault, match="no such folder"):
        folder.read(tmp_path / "none")


@pytest.mark.parametrize("text", ["{", "[]", '{"taps": []}', '{"taps": 3}'])
def test_a_broken_side_car_is_said(tmp_path: Path, text: str) -> None:
    write_pcap(tmp_path / "client.pcap", [(T0, FRAME)])
    (tmp_path / "taps.json").write_text(text)
    if text == '{"taps": []}':
        assert len(folder.read(tmp_path).taps) == 1  # nothing said is nothing wrong
        return
    with pytest.raises(HarnessFault, match=r"taps\.json"):
        folder.read(tmp_path)


def test_the_side_car_tells_health_sides_and_events(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    sidecar = chain.sidecar()
    sidecar["taps"]["server-eth0.pcap"] |= {"dropped": 2, "offloads": True}
    sidecar["taps"]["server-eth9.pcap"] = {"host": "server"}
    sidecar["sut"] = {"clientnic": [{"event": "ready"}], "servernic": [{"event": "stopped"}]}
    content = folder.read(chain.write(tmp_path, sidecar=sidecar))
    assert [tap.position for tap in content.taps] == list(Position)
    first, *_, last = content.taps
    assert (first.healthy, last.healthy) == (True, False)
    assert first.health is not None
    assert last.health == TapHealth(8, 8, 2, first.health.live_ns, first.health.end_ns, True)
    assert first.mac == 0x020000000001
    assert (first.interface, first.name) == ("eth0", "client-eth0")
    assert content.same_clock
    assert content.sut_events == ({"host": "clientnic", "event": "ready"}, {"host": "servernic", "event": "stopped"})
    assert content.notes == ("server-eth9.pcap: named in taps.json and not there",)


def test_links_tell_the_side_even_against_the_packets(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    sidecar = chain.sidecar()
    sidecar["links"] = [["client-eth0", "clientnic-eth1"], ["clientnic-eth0", "servernic-eth0"]]
    taps = folder.read(chain.write(tmp_path, sidecar=sidecar)).taps
    assert [tap.file for tap in taps[1:3]] == ["clientnic-eth1.pcap", "clientnic-eth0.pcap"]


def test_links_between_hosts_of_other_names_go_by_role(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.write(tmp_path)
    sidecar = chain.sidecar()
    renamed = {"client": "pc", "clientnic": "box-a", "servernic": "box-b", "server": "web"}
    taps, links = {}, []
    for file, entry in sidecar["taps"].items():
        new = file.replace(entry["host"] + "-", renamed[entry["host"]] + "-")
        (tmp_path / file).rename(tmp_path / new)
        taps[new] = entry | {"role": entry["host"], "host": renamed[entry["host"]]}
    for link in sidecar["links"]:
        hosts = [end.split("-") for end in link]
        links.append([f"{renamed[host]}-{port}" for host, port in hosts])
    (tmp_path / "taps.json").write_text(json.dumps({"taps": taps, "links": links}))
    found = {tap.position: tap.file for tap in folder.read(tmp_path).taps}
    assert found[Position.CLIENTNIC_WAN] == "box-a-eth1.pcap"
    assert found[Position.SERVERNIC_WAN] == "box-b-eth0.pcap"


def test_hosts_of_other_names_are_placed_by_their_role(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.write(tmp_path)
    (tmp_path / "client-eth0.pcap").rename(tmp_path / "laptop-wlan0.pcap")
    entry = {"taps": {"laptop-wlan0.pcap": {"host": "laptop", "role": "client"}}}
    (tmp_path / "taps.json").write_text(json.dumps(entry))
    taps = folder.read(tmp_path).taps
    assert (taps[0].file, taps[0].position) == ("laptop-wlan0.pcap", Position.CLIENT)


def test_one_file_of_all_interfaces_is_taken_apart(tmp_path: Path) -> None:
    """``tcpdump -i any`` on a box: both ports and the loopback in one file."""
    chain = Chain()
    chains.stamp(chain, T0)
    cooked = []
    for ifindex, port in ((1, "lo"), (2, PORTS[1]), (3, PORTS[2])):
        for time, frame in chain.captures.get(port, [(T0, frames.segment(5, 6, "A"))]):
            head = struct.pack("!HHIHBB", 0x0800, 0, ifindex, 1, 0, 6) + frame[6:12] + bytes(2)
            cooked.append((time, head + frame[14:]))
    chain.write(tmp_path, ports=(PORTS[0], *PORTS[3:]))
    write_pcap(tmp_path / "clientnic-any.pcap", sorted(cooked, key=lambda pair: pair[0]), linktype=276)
    trace = Trace.load(tmp_path)
    assert list(trace.taps) == list(Position)
    assert trace.taps[Position.CLIENTNIC_LAN].interface == "#2"
    assert trace.taps[Position.CLIENTNIC_WAN].interface == "#3"
    (flow,) = trace.flows
    assert (flow.placement, flow.translator) == ("stamp", "servernic")


def test_one_file_that_tells_only_directions_is_taken_apart(tmp_path: Path) -> None:
    """``tcpdump -i any`` before 4.99: every packet that is forwarded is there twice, coming and going."""
    chain = Chain()
    chains.hold(chain, T0)
    alone = chain.write(tmp_path / "alone")
    cooked = []
    for port in PORTS[1:3]:
        for time, frame in chain.captures[port]:
            leaves = frame[6:12] == frames.mac(frames.MAC[port])
            head = struct.pack("!HHH", 4 if leaves else 0, 1, 6) + frame[6:12] + bytes(2) + b"\x08\x00"
            cooked.append((time, head + frame[14:]))
    chain.write(tmp_path / "any", ports=(PORTS[0], *PORTS[3:]))
    write_pcap(tmp_path / "any" / "clientnic-any.pcap", sorted(cooked, key=lambda pair: pair[0]), linktype=113)
    trace, expected = Trace.load(tmp_path / "any"), Trace.load(alone)
    assert list(trace.taps) == list(Position)
    for position in Position:
        assert trace.taps[position].packets.seq.tolist() == expected.taps[position].packets.seq.tolist()
    (flow,) = trace.flows
    assert (flow.placement, flow.translator) == ("hold", "clientnic")


def test_a_cut_capture_is_unhealthy_and_said(tmp_path: Path) -> None:
    chain = Chain()
    chains.plain(chain, T0)
    chain.write(tmp_path)
    path = tmp_path / "client-eth0.pcap"
    path.write_bytes(path.read_bytes()[:-3])
    trace = Trace.load(tmp_path)
    assert trace.taps[Position.CLIENT].healthy is False
    assert any("middle of a record" in note for note in trace.notes)
