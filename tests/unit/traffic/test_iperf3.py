from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.hosts.executor import Result
from hopscope.traffic import iperf3 as module
from support.fakehost import FakeHost, fake_lab

TOLD = {
    "end": {
        "sum_sent": {"retransmits": 3, "bytes": 11},
        "sum_received": {"bits_per_second": 8e6, "bytes": 1_000_000, "seconds": 1.0},
        "sender_tcp_congestion": "reno",
    }
}


def result(code: int, told: Any) -> Result:
    text = told if isinstance(told, str) else json.dumps(told)
    return Result(("iperf3",), code, text.encode(), b"", 1.0)


def test_what_the_receiver_got_counts() -> None:
    seen = module.report(result(0, TOLD), "client")
    assert (seen.bits_per_second, seen.bytes, seen.retransmits, seen.cc) == (8e6, 1_000_000, 3, "reno")


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (1, {"error": "unable to connect to server"}, "iperf3 failed: unable to connect to server"),
        (0, {"error": "late trouble", **TOLD}, "late trouble"),
        (1, TOLD, "it ended with 1"),
        (0, "not json", "its output is no report"),
        (0, {"end": {}}, "its output is no report"),
    ],
)
def test_a_test_that_failed_says_why(code: int, told: Any, words: str) -> None:
    with pytest.raises(EnvironmentFault, match=words):
        module.report(result(code, told), "client")


@pytest.mark.parametrize("answer", [(0, json.dumps(TOLD).encode(), b""), (1, b'{"error": "no"}', b"")])
def test_the_server_takes_one_test_and_is_gone(tmp_path: Path, answer: tuple[int, bytes, bytes]) -> None:
    topology = data.topology("chain")
    hosts = {
        host.name: FakeHost(host.name, tmp_path / host.name, answers={"iperf3": answer}) for host in topology.hosts
    }
    try:
        module.iperf3(fake_lab(topology, hosts), 2, reverse=True, cc="reno", streams=3, bitrate="10M")
    except EnvironmentFault:
        assert answer[0]
    (server,) = hosts["server"].processes
    assert server.argv == ["iperf3", "--server", "--one-off", "--port", "8083", "--forceflush"]
    assert server.code is not None
    (client,) = hosts["client"].commands
    assert client[:5] == ["iperf3", "--client", "10.1.2.10", "--port", "8083"]
    assert client[client.index("--congestion") + 1] == "reno"
    assert "--reverse" in client
    assert client[-2:] == ["--bitrate", "10M"]


def test_another_congestion_control_than_was_asked_for_is_the_environments_fault(tmp_path: Path) -> None:
    topology = data.topology("chain")
    answers = {"iperf3": (0, json.dumps(TOLD).encode(), b"")}
    hosts = {host.name: FakeHost(host.name, tmp_path / host.name, answers=answers) for host in topology.hosts}
    with pytest.raises(EnvironmentFault, match="used congestion control reno, and cubic was asked for"):
        module.iperf3(fake_lab(topology, hosts), 2, cc="cubic")


def test_only_service_ports_are_on_the_path(tmp_path: Path) -> None:
    lab = fake_lab(data.topology("chain"), {})
    with pytest.raises(UsageError, match="port 5201 is none of the service's ports"):
        module.iperf3(lab, port=5201)
    with pytest.raises(UsageError, match="at least one stream"):
        module.iperf3(lab, streams=0)
