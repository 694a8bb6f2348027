"""A thinned capture is judged as the whole one is: what is right loses its payload, what is wrong keeps everything."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hopscope.capture import thin
from hopscope.checks.judge import judge_folder
from hopscope.checks.verdict import Outcome
from hopscope.wire import pcap
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace
from hopscope.wire.writer import write_pcap
from support import golden
from support.golden import TAPS, Recipe
from support.grids import sparse

BETWEEN = ("clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1")


def thinned(source: Path, target: Path, *flows: str) -> tuple[int, int]:
    argv = [sys.executable, "-I", "-S", thin.__file__, str(source), str(target), *flows]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    return int(told[0]), int(told[1])


def in_between(folder: Path) -> int:
    """Thin the captures of the boxes, as a session on found hosts does. How many segments were cut."""
    told = json.loads((folder / "taps.json").read_text())
    cut = 0
    for name in BETWEEN:
        file = folder / f"{name}.pcap"
        cut += thinned(file, file.with_suffix(".thin"))[1]
        file.with_suffix(".thin").replace(file)
        told["taps"][file.name]["thinned"] = True
    (folder / "taps.json").write_text(json.dumps(told))
    return cut


RECIPES = {
    "plain": Recipe("plain"),
    "hold": Recipe("hold"),
    "stamp": Recipe("stamp"),
    "IPv6": Recipe("stamp", client="fd00:1::10", server="fd00:2::10"),
}


@pytest.mark.parametrize(("spoil", "recipe"), sparse(["", "l4", "partial"], list(RECIPES), every=2))
def test_verdicts_are_those_of_the_whole_captures(tmp_path: Path, recipe: str, spoil: str) -> None:
    chain = golden.build(RECIPES[recipe])
    if spoil:
        golden.change(chain, TAPS[3], "request", spoil=spoil)
    whole, thin_one = (golden.write(chain, tmp_path / name) for name in ("whole", "thin"))
    assert in_between(thin_one) > 20
    before, after = (
        {each.check: (each.outcome, each.summary) for each in judge_folder(folder).verdicts}
        for folder in (whole, thin_one)
    )
    assert after == before
    assert (before["checksums"][0] is Outcome.FAIL) is bool(spoil)


def test_headers_stay_as_they_were_and_payload_goes(tmp_path: Path) -> None:
    folder = golden.write(golden.build(Recipe("stamp")), tmp_path / "whole")
    file = folder / "servernic-eth0.pcap"
    frames, cut = thinned(file, tmp_path / "thin.pcap")
    before, after = pcap.read(file), pcap.read(tmp_path / "thin.pcap")
    assert (len(after), int(after.cut.sum())) == (frames, cut)
    for column in ("time", "wirelen", "seq", "ack", "flags", "window", "payload_len", "l4_len", "sack_count", "tsval"):
        assert np.array_equal(getattr(before, column), getattr(after, column)), column
    assert np.array_equal(after.cut, before.is_tcp & (before.payload_len > 0))
    assert np.array_equal(before.ip_checksum, after.ip_checksum)
    assert np.array_equal(dataclasses.replace(after, vouched=True).l4_checksum, before.l4_checksum)
    assert (after.l4_checksum != before.l4_checksum).sum() == cut, "nobody vouches for a bare file"


def test_what_cannot_be_vouched_for_is_copied(tmp_path: Path) -> None:
    """Noise, a frame shorter than its IP length says, ARP, and a record that is not all there."""
    folder = golden.write(golden.build(Recipe("plain")), tmp_path / "whole")
    packets = pcap.read(folder / "client-eth0.pcap")
    row = int(np.flatnonzero(packets.is_tcp & (packets.payload_len > 0))[0])
    frame = packets.frame_bytes(row)
    frames = [b"\xff" * 80, frame[:-1], b"\0" * 12 + b"\x08\x06" + b"\0" * 28, frame[:20], frame]
    file = tmp_path / "odd.pcap"
    write_pcap(file, list(enumerate(frames)))
    assert thinned(file, tmp_path / "thin.pcap") == (5, 1)
    after = pcap.read(tmp_path / "thin.pcap")
    assert [after.frame_bytes(at) for at in range(4)] == frames[:4]
    file.write_bytes(file.read_bytes()[:-1])
    assert thinned(file, tmp_path / "thin.pcap") == (4, 0)
    assert thinned(folder / "client-eth0.pcap", tmp_path / "thin.pcap")[0] == len(packets)


@pytest.mark.parametrize("ends", [{}, {"client": "fd00:1::10", "server": "fd00:2::10"}], ids=["IPv4", "IPv6"])
def test_a_flow_that_is_named_stays_whole_and_every_frame_has_its_number(tmp_path: Path, ends: dict[str, str]) -> None:
    folder = golden.write(golden.build(Recipe("stamp", flows=2, **ends)), tmp_path / "whole")
    file = folder / "servernic-eth0.pcap"
    trace = Trace.load(folder)
    named, other = (trace.flows[flow].rows(Position.SERVERNIC_WAN) for flow in (0, 1))
    thinned(file, tmp_path / "thin.pcap", f"{trace.flows[0].label} #2")
    before, after = pcap.read(file), pcap.read(tmp_path / "thin.pcap")
    assert all(after.frame_bytes(row) == before.frame_bytes(row) for row in named)
    assert after.cut[other].any()
    assert not after.cut[named].any()


def test_what_names_no_flow_is_told() -> None:
    with pytest.raises(SystemExit, match="no flow: client"):
        thin.both_ways("client > server")
