from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.errors import CommandFailed, EnvironmentFault, UsageError
from hopscope.traffic.traffic import Traffic
from support.fakehost import FakeHost, FakeProcess, fake_lab

SUMMARY = {"asked": 1, "requested_rate": None, "established_rate": None, "cc": "reno"}
LINE = {
    "i": 0, "local_port": 1, "port": 8080, "late_ns": 0, "start_ns": 1, "connect_ns": 2, "first_byte_ns": 3,
    "end_ns": 4, "outcome": "ok", "bytes": 1024, "error": None,
}  # fmt: skip


def responder(process: FakeProcess, sig: int) -> None:
    if sig == signal.SIGUSR1:
        process.say(
            json.dumps({"event": "counters", "accepted": len(process.signals), "open": 0, "time_ns": 1}), "stdout"
        )


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    topology = data.topology("chain")
    hosts = {host.name: FakeHost(host.name, tmp_path / host.name, responder) for host in topology.hosts}
    hosts["client"].answers["python"] = "\n".join(map(json.dumps, [LINE, {"summary": SUMMARY}])).encode()
    return fake_lab(topology, hosts)


def traffic(lab: Any, tmp_path: Path) -> Traffic:
    return Traffic(lab, tmp_path / "logs", python="python")


def option(argv: list[str], name: str) -> str | None:
    return argv[argv.index(name) + 1] if name in argv else None


def test_programs_are_copied_and_told_what_was_asked(lab: Any, tmp_path: Path) -> None:
    with traffic(lab, tmp_path) as load:
        report = load.connections(1, 50, request=200, rounds=2, ports=[8081], cc="cubic", close="rst", check_rate=False)
    (argv,) = lab.hosts["client"].commands
    assert argv[:3] == ["python", "-I", "-S"]
    assert Path(argv[3]).is_file()
    for name, value in {
        "--target": "10.1.2.10", "--ports": "8081", "--rate": "50.0", "--request": "200", "--response": "1024",
        "--rounds": "2", "--cc": "cubic", "--close": "rst", "--deadline": "10.0", "--first": "0", "--source": None,
    }.items():  # fmt: skip
        assert option(argv, name) == value
    (server,) = lab.hosts["server"].processes
    assert option(server.argv, "--ports") == "8080,8081,8082,8083"
    assert option(server.argv, "--bind") == "10.1.2.10"
    assert server.code is not None
    assert report.completed == 1
    assert report.server == {"accepted": 1, "open": 0}, "counted during this run"
    assert (tmp_path / "logs/connections-1.jsonl").is_file()


def test_one_responder_serves_until_its_congestion_control_changes(lab: Any, tmp_path: Path) -> None:
    with traffic(lab, tmp_path) as load:
        load.connections(1)
        load.connections(1)
        assert len(lab.hosts["server"].processes) == 1
        load.connections(1, cc=None)
        assert [process.code is None for process in lab.hosts["server"].processes] == [False, True]
    assert [option(argv, "--first") for argv in lab.hosts["client"].commands] == ["0", "1", "2"]
    assert option(lab.hosts["client"].commands[-1], "--cc") is None


def test_requests_with_the_syn_are_asked_of_both_ends(lab: Any, tmp_path: Path) -> None:
    with traffic(lab, tmp_path) as load:
        load.connections(1)
        load.connections(1, fast_open=True)
    assert ["--fast-open" in argv for argv in lab.hosts["client"].commands] == [False, True]
    assert ["--fast-open" in process.argv for process in lab.hosts["server"].processes] == [False, True]


def test_faults_of_the_generator_are_told_apart(lab: Any, tmp_path: Path) -> None:
    load = traffic(lab, tmp_path)
    lab.hosts["client"].answers["python"] = (64, b"", b"generator: 9 connections do not fit")
    with pytest.raises(UsageError, match="client: 9 connections do not fit"):
        load.connections(1)
    lab.hosts["client"].answers["python"] = (2, b"", b"generator: congestion control 'x' is refused")
    with pytest.raises(CommandFailed, match="the generator ended with 2"):
        load.connections(1)


def test_a_responder_that_died_is_named(lab: Any, tmp_path: Path) -> None:
    load = traffic(lab, tmp_path)
    load.connections(1)
    process = lab.hosts["server"].processes[0]
    process.say("responder: out of memory")
    process.code = -9
    with pytest.raises(EnvironmentFault, match="the responder ended by itself with -9") as caught:
        load.connections(1)
    assert "out of memory" in str(caught.value)


def test_the_target_is_the_service_address_nearest_to_the_client(lab: Any, tmp_path: Path) -> None:
    assert traffic(lab, tmp_path).target == "10.1.2.10"
    assert Traffic(lab, tmp_path, client="servernic").target == "10.1.2.10"
