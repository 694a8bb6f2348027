"""The folder of a tunnel's captures: raw IP of both families, whose side an address is on, folders that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hopscope.checks.transport import transport
from hopscope.checks.verdict import Outcome
from hopscope.errors import HarnessFault
from hopscope.wire import pcap
from hopscope.wire.tunnel import SAID, Look, TunnelTrace, _within, echoes
from hopscope.wire.writer import write_pcap
from support import frames, golden_tunnel
from support.golden_tunnel import RAW


@pytest.mark.parametrize(
    ("packet", "family", "proto"),
    [
        (frames.ipv4(frames.icmp(payload=b"x" * 40), proto=1, src="10.9.0.1", dst="10.9.0.2"), 4, 1),
        (frames.ipv6(frames.icmp(128, payload=b"x" * 40), proto=58, src="fd00::1", dst="fd00::2"), 6, 58),
    ],
    ids=["v4", "v6"],
)
def test_a_device_without_a_link_layer_is_read(tmp_path: Path, packet: bytes, family: int, proto: int) -> None:
    write_pcap(tmp_path / "tun.pcap", [(1, packet)], linktype=RAW)
    packets = pcap.read(tmp_path / "tun.pcap")
    assert (packets.family.tolist(), packets.proto.tolist(), packets.src_mac.tolist()) == ([family], [proto], [0])
    assert packets.payload(0) == b"x" * 40
    assert int(packets.l3_offset[0]) == int(packets.offset[0])


@pytest.mark.parametrize("family", [4, 6])
def test_what_leaves_and_what_comes_is_told_by_the_side_of_its_source(tmp_path: Path, family: int) -> None:
    trace = TunnelTrace.load(golden_tunnel.build(family).write(tmp_path))
    for side in trace.sides:
        (capture,) = side.tun
        assert int(side.leaving(capture).sum()) * 2 == len(capture.packets)
    ping = trace.pings[0]
    found = echoes(trace.side("left").tun[0], ping.tag)
    assert [(echo.request, echo.sequence) for echo in found] == [(kind, n) for n in (1, 2, 3) for kind in (True, False)]


@pytest.mark.parametrize(
    ("place", "inside", "outside"),
    [
        ("10.9.0.1", "10.9.0.1", "10.9.0.2"),
        ("10.20.1.0/24", "10.20.1.255", "10.20.2.0"),
        ("0.0.0.0/0", "192.0.2.1", "fd00::1"),
        ("fd00:1::/48", "fd00:1:0:5::1", "fd00:2::1"),
        ("fd00::/64", "fd00::1:2:3:4", "fd00:0:0:1::1"),
        ("fd00::8/125", "fd00::f", "fd00::10"),
        ("fd00::1", "fd00::1", "fd00::2"),
        ("::/0", "fd00::1", None),
    ],
)
def test_an_address_is_in_a_place_or_not(tmp_path: Path, place: str, inside: str, outside: str | None) -> None:
    addresses = [inside, *([outside] if outside else [])]
    made = [
        frames.ipv6(b"", src=each, dst="fd00::9") if ":" in each else frames.ipv4(b"", src=each) for each in addresses
    ]
    write_pcap(tmp_path / "a.pcap", [(n, packet) for n, packet in enumerate(made)], linktype=RAW)
    packets = pcap.read(tmp_path / "a.pcap")
    assert _within(packets.src_hi, packets.src_lo, (place,)).tolist() == [True, False][: len(addresses)]


def test_a_device_may_have_several_lives(tmp_path: Path) -> None:
    tunnel = golden_tunnel.build()
    tunnel.taps["left-tun0-2"], tunnel.facts["left-tun0-2"] = tunnel.taps["left-tun0"][-3:], {}
    trace = TunnelTrace.load(tunnel.write(tmp_path))
    assert [capture.file for capture in trace.side("left").tun] == ["left-tun0.pcap", "left-tun0-2.pcap"]


def test_a_capture_that_goes_on_is_read_as_far_as_it_was_counted(tmp_path: Path) -> None:
    tunnel = golden_tunnel.build()
    tunnel.facts["left-tun0"] = {"captured": 4, "received": 4}
    folder = tunnel.write(tmp_path)
    with (folder / "left-tun0.pcap").open("ab") as file:
        file.write(b"half a rec")
    (capture,) = TunnelTrace.load(folder).side("left").tun
    assert (len(capture.packets), capture.packets.truncated) == (4, False)
    assert np.all(np.diff(capture.packets.frame) == 1)


def test_a_look_shows_a_window_as_it_was_then(tmp_path: Path) -> None:
    tunnel = golden_tunnel.Tunnel()
    tunnel.handshake()
    tunnel.ping("left")
    then = tunnel.look()
    counts = {tap: len(held) for tap, held in tunnel.taps.items()}
    tunnel.ping("right")
    tunnel.transfer()
    tunnel.segment("left", "R", label="ended")
    trace = TunnelTrace.load(tunnel.write(tmp_path), Look(**then))
    assert {f"{each.host}-{each.interface}": len(each.packets) for each in trace.captures} == counts
    assert {kind: len(getattr(trace, kind)) for kind in SAID} == dict.fromkeys(SAID, 0) | {"pings": 1}
    assert transport()(trace).outcome is Outcome.PASS
    assert transport()(TunnelTrace.load(tmp_path)).outcome is Outcome.FAIL


def test_a_capture_that_is_named_and_not_there_is_missed(tmp_path: Path) -> None:
    folder = golden_tunnel.build().write(tmp_path)
    (folder / "right-tun0.pcap").unlink()
    trace = TunnelTrace.load(folder)
    assert trace.missing == ("right-tun0.pcap",)
    assert trace.side("right").tun == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tunnel": 3}', "{"])
def test_a_folder_without_a_tunnel_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "taps.json").write_text(content)
    assert not TunnelTrace.is_one(tmp_path)


@pytest.mark.parametrize("key", ["ends", "transport", "sut", "outside"])
def test_a_side_car_that_lacks_something_is_refused_with_its_name(tmp_path: Path, key: str) -> None:
    folder = golden_tunnel.build().write(tmp_path)
    content = json.loads((folder / "taps.json").read_text())
    del content["tunnel"][key]
    (folder / "taps.json").write_text(json.dumps(content))
    assert TunnelTrace.is_one(folder)
    with pytest.raises(HarnessFault, match=rf"taps.json: tunnel: cannot be read: .*{key}"):
        TunnelTrace.load(folder)
