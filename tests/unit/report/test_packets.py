"""One line a packet."""

from __future__ import annotations

import re
from pathlib import Path

from hopscope.report.packets import lines
from hopscope.wire import pcap

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures"
CLOCK = r"\d\d:\d\d:\d\d\.\d{9}  "


def test_a_handshake_reads_as_one() -> None:
    arp, *rest = lines(pcap.read(CAPTURES / "stamp" / "client-eth0.pcap"))
    syn, synack, *_ = (line for line in rest if "  S" in line)
    mac = r"([0-9a-f]{2}:){5}[0-9a-f]{2}"
    assert re.fullmatch(f"{CLOCK}{mac} > {mac}  not IP, 42 bytes", arp)
    ends = r"10\.1\.0\.10:\d+ > 10\.1\.2\.10:\d+"
    assert re.fullmatch(CLOCK + ends + r"  S seq \d+ win \d+ len 0 mss \d+ wscale \d+ sackOK ts \d+/0", syn)
    assert re.search(r"  S\. seq \d+ ack \d+ win \d+ len 0 mss", synack)


def test_the_stamp_in_a_syn_is_shown_in_brackets() -> None:
    stamped = [line for line in lines(pcap.read(CAPTURES / "stamp" / "clientnic-eth1.pcap")) if "  S seq" in line]
    assert stamped
    assert all(re.search(r" \[ack \d+\] ", line) for line in stamped)


def test_data_has_its_length() -> None:
    found = [line for line in lines(pcap.read(CAPTURES / "plain" / "server-eth0.pcap")) if "  P" in line]
    assert found
    assert all(int(re.search(r"len (\d+)", line)[1]) > 0 for line in found)  # type: ignore[index]
