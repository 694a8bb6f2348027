from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault
from hopscope.lab import pinger
from hopscope.lab.lab import Lab
from hopscope.lab.rtt import check_rtt, measure_idle_rtt, tolerance_ms
from support.fakes import FakeExecutor

CHAIN = data.topology("chain")


def lab(tmp_path: Path, rtts_ms: Sequence[float], asked: list[Sequence[str]] | None = None) -> Lab:
    def answer(argv: Sequence[str], stdin: bytes | None) -> str:
        if asked is not None:
            asked.append(argv)
        return json.dumps({"sent": 20, "rtts_ns": [round(rtt * 1e6) for rtt in rtts_ms]})

    hosts = {host.name: FakeExecutor(host.name, tmp_path, answer) for host in CHAIN.hosts}
    return Lab("test", CHAIN, tmp_path, hosts, {link.name: "veth" for link in CHAIN.links})


def test_the_median_counts_in_nanoseconds(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []
    assert measure_idle_rtt(lab(tmp_path, [20.1, 20.3, 90.0], asked), "client", "server") == 20_300_000
    assert "10.1.2.10" in asked[0]


def test_the_address_is_the_far_end_of_the_path(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []
    measure_idle_rtt(lab(tmp_path, [1, 1, 1], asked), "server", "clientnic")
    assert "10.1.1.1" in asked[0]


def test_too_few_answers_are_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="2 of 20 echoes"):
        measure_idle_rtt(lab(tmp_path, [20, 20]), "client", "server")


@pytest.mark.parametrize("achieved", [19.01, 20.0, 20.99])
def test_within_the_tolerance(tmp_path: Path, achieved: float) -> None:
    assert check_rtt(lab(tmp_path, [achieved] * 3)) == round(achieved * 1e6)


@pytest.mark.parametrize("achieved", [18.9, 21.1])
def test_beyond_it_is_the_environments_fault_with_all_three_numbers(tmp_path: Path, achieved: float) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        check_rtt(lab(tmp_path, [achieved] * 3))
    for text in ("declared:  20.000 ms", f"achieved:  {achieved:.3f} ms", "tolerance: 1.000 ms", "by veth"):
        assert text in str(caught.value)


def test_what_is_declared_can_be_given(tmp_path: Path) -> None:
    assert check_rtt(lab(tmp_path, [104.0] * 3), declared_ms=100) == 104_000_000


def test_the_tolerance_is_a_millisecond_or_five_percent() -> None:
    assert [tolerance_ms(declared) for declared in (0, 20, 100)] == [1.0, 1.0, 5.0]


def test_a_host_without_a_way_or_address_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no address"):
        measure_idle_rtt(lab(tmp_path, [1, 1, 1]), "client", "client")


def test_the_checksum_of_an_echo_verifies() -> None:
    message = bytearray(b"\x08\x00\x00\x00\x12\x34\x00\x01" + bytes(range(48)))
    message[2:4] = pinger.checksum(bytes(message)).to_bytes(2, "big")
    assert pinger.checksum(bytes(message)) == 0
