"""The naive datapath: what it asks Scapy for, and what it says of itself before it has done it."""

from __future__ import annotations

import pytest

from hopscope_nic.core import selection
from hopscope_nic.core.segment import ACK, SYN, build
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import scapy_datapath
from hopscope_nic.io.ports import Port
from hopscope_nic.io.scapy_datapath import Scapy

PORTS = tuple(Port(name, index, bytes(6), 1500, ()) for index, name in enumerate(("eth0", "eth1")))
RANGES = [selection.parse("tcp:8080-8083"), selection.parse("tcp:9000")]
KEY = bytes([10, 1, 2, 10, 10, 1, 0, 10]) + (8080).to_bytes(2, "big") + (40000).to_bytes(2, "big")


def test_the_filter_is_as_wide_as_the_flows():
    assert scapy_datapath.bpf(RANGES) == "tcp portrange 8080-8083 or tcp portrange 9000-9000"


def test_a_segment_in_words_of_the_log():
    packet = build(KEY, 7, 8, SYN | ACK, 100)
    told = scapy_datapath._told(bytes(packet.buffer[packet.head : packet.end]))
    assert told == {"flow": "10.1.2.10:8080>10.1.0.10:40000", "flags": "SA", "seq": 7}


def test_without_scapy_it_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(scapy_datapath, "import_module", missing)
    with pytest.raises(EnvironmentFault, match=r"hopscope-nic\[scapy\]"):
        Scapy(None, PORTS, RANGES, (), None, None).__enter__()
