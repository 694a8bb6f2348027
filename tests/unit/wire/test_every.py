"""Small captures that are read together are what each is by itself."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hopscope.errors import HarnessFault
from hopscope.wire import pcap
from hopscope.wire.packets import Packets
from support import golden
from support.golden import TAPS, Recipe

LATER = ("sack", "ip_checksum", "l4_checksum")


def files(folder: Path) -> list[Path]:
    """Six captures, of which one has a bad checksum and one ends in the middle of a record."""
    chain = golden.build(Recipe("hold"))
    golden.change(chain, TAPS[2], "request", spoil="l4")
    golden.write(chain, folder)
    found = [folder / f"{tap}.pcap" for tap in TAPS]
    found[1].write_bytes(found[1].read_bytes()[:-20])
    return found


def told(packets: Packets) -> dict[str, object]:
    """All that is known of a capture but where its bytes lie in memory."""
    columns = {one.name: getattr(packets, one.name) for one in fields(packets)} | {
        n: getattr(packets, n) for n in LATER
    }
    for name in ("offset", "l3_offset", "l4_offset", "payload_offset"):
        columns[name] = np.where(columns[name] < 0, -1, columns[name] - int(packets.offset[0]))
    del columns["data"], columns["of"]
    return {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in columns.items()} | {
        "frames": [packets.frame_bytes(row) for row in range(len(packets))],
        "payloads": [packets.payload(row) for row in range(len(packets))],
    }


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["one by one", "together"])
def test_small_captures_are_read_together(small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = files(tmp_path / "captures")
    monkeypatch.setattr(pcap, "_SMALL", small)
    read = list(pcap.every(paths))
    assert all((each.of is not None) == bool(small) for each in read)
    assert [told(each) for each in read] == [told(pcap.read(path)) for path in paths]
    assert [each.truncated for each in read] == [False, True, False, False, False, False]
    some = read[4].take(np.arange(3, 9))
    assert told(some) == told(pcap.read(paths[4]).take(np.arange(3, 9)))


def test_one_that_is_no_capture_is_named(tmp_path: Path) -> None:
    paths = files(tmp_path / "captures")
    paths[3].write_bytes(b"nothing of the kind")
    with pytest.raises(HarnessFault, match=r"servernic-eth0\.pcap: neither pcap nor pcapng"):
        list(pcap.every(paths))
