"""A capture that grows, read in parts of any size, is the same as the whole read at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.errors import HarnessFault
from hopscope.report.packets import lines
from hopscope.wire import pcap
from hopscope.wire.tail import Tail

CAPTURE = Path(__file__).parents[3] / "fixtures" / "captures" / "stamp" / "client-eth0.pcap"


@pytest.mark.parametrize("step", [7, 100, 5000])
def test_parts_of_any_size_are_the_whole(tmp_path: Path, step: int) -> None:
    data = CAPTURE.read_bytes()[:1500]
    file = tmp_path / "x.pcap"
    file.touch()
    tail = Tail(file)
    seen: list[tuple[int, str]] = []
    for end in range(0, len(data) + step, step):
        file.write_bytes(data[:end])
        part = tail.read()
        seen += zip(part.frame.tolist(), lines(part), strict=True)
    whole = pcap.read(file)
    assert seen == list(zip(whole.frame.tolist(), lines(whole), strict=True))
    assert tail.seen == len(whole) > 5


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(b"x" * 100)
    with pytest.raises(HarnessFault, match="neither pcap nor pcapng"):
        Tail(file).read()
