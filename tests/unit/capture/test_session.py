from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope import data
from hopscope.capture import session as session_module
from hopscope.capture import tap as tap_module
from hopscope.capture.session import CaptureSession
from hopscope.errors import CaptureUnhealthy, EnvironmentFault, HarnessFault
from hopscope.model.topology import Port
from hopscope.wire.writer import write_pcap
from support.fakehost import FakeHost, FakeProcess, fake_lab

COUNTS = "2 packets captured, 2 packets received by filter, 0 packets dropped by kernel"


def capturing(process: FakeProcess, sig: int) -> None:
    if sig == 0:
        file = next(Path(word) for word in process.argv if word.endswith(".pcap"))
        write_pcap(file, [(1, bytes(60)), (2, bytes(60))])
    elif sig == signal.SIGUSR1:
        process.say(COUNTS)
    else:
        process.code = 0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clock is what ``date`` answers."""
    monkeypatch.setattr(tap_module, "now_ns", lambda executor: int(executor.run(["date", "+%s%N"]).text))


def link_of(argv: list[str]) -> bytes:
    return json.dumps([{"ifname": argv[-1], "address": "02:00:00:00:00:07"}]).encode()


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Any]:
    def make(
        behave: Callable[[FakeProcess, int], None] = capturing, features: bytes = b"tx-checksumming: off\n"
    ) -> Any:
        topology = data.topology("chain")
        answers = {"date": b"7\n", "ethtool": features, "ip": link_of}
        hosts = {host.name: FakeHost(host.name, tmp_path / host.name, behave, answers) for host in topology.hosts}
        return fake_lab(topology, hosts)

    return make


def processes(lab: Any) -> list[FakeProcess]:
    return [process for host in lab.hosts.values() for process in host.processes]


def test_all_ports_and_a_sidecar_that_proves_them(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = make_lab()
    lab.same_clock = False
    with CaptureSession(lab, tmp_path / "out") as session:
        pass
    assert all(report.healthy for report in session.reports)
    sidecar = json.loads((tmp_path / "out/taps.json").read_text())
    assert list(sidecar["taps"]) == [f"{port.tap}.pcap" for port in data.topology("chain").ports]
    assert sidecar["taps"]["servernic-eth1.pcap"] == {
        "host": "servernic",
        "role": "servernic",
        "interface": "eth1",
        "captured": 2,
        "received": 2,
        "dropped": 0,
        "live_ns": 7,
        "end_ns": 7,
        "offloads": False,
        "mac": "02:00:00:00:00:07",
    }
    assert sidecar["links"][1] == ["clientnic-eth1", "servernic-eth0"]
    assert sidecar["same_clock"] is False


def test_some_ports_and_facts_of_the_run(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    session = CaptureSession(make_lab(features=b"generic-receive-offload: on\n"), tmp_path, ports=["client:eth0"])
    session.start()
    session.stop({"rtt_ns": 5})
    assert session.stop() == session.reports
    sidecar = json.loads((tmp_path / "taps.json").read_text())
    assert sidecar["rtt_ns"] == 5
    assert sidecar["links"] == []
    assert sidecar["taps"]["client-eth0.pcap"]["offloads"] is True


def test_when_one_tap_does_not_start_none_is_left(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = make_lab()

    def refused(*_: Any, **__: Any) -> FakeProcess:
        raise EnvironmentFault("no such interface", host="server")

    lab.hosts["server"].spawn = refused
    session = CaptureSession(lab, tmp_path / "out")
    with pytest.raises(EnvironmentFault, match="no such interface"):
        session.start()
    assert len(processes(lab)) == 5
    assert all(process.code is not None for process in processes(lab))
    assert session.stop() == ()


def test_a_tap_that_died_is_raised_after_everything_was_written(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = make_lab()
    session = CaptureSession(lab, tmp_path / "out")
    session.start()
    victim = lab.hosts["server"].processes[0]
    victim.say("recorder: the interface went down")
    victim.code = 2
    with pytest.raises(
        CaptureUnhealthy, match="tap server-eth0 ended by itself with 2: recorder: the interface"
    ) as caught:
        session.stop()
    assert caught.value.host == "server"
    taps = json.loads((tmp_path / "out/taps.json").read_text())["taps"]
    assert "went down" in taps["server-eth0.pcap"]["problem"]
    assert taps["server-eth0.pcap"]["received"] > taps["server-eth0.pcap"]["captured"]
    assert "problem" not in taps["client-eth0.pcap"]


def test_no_room_is_said_before_anything_starts(
    make_lab: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    lab = make_lab()
    with pytest.raises(EnvironmentFault, match="no room for captures: 5 MiB are free"):
        CaptureSession(lab, tmp_path / "out").start()
    assert not processes(lab)
    assert shutil.disk_usage is not None


def test_a_session_starts_once(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    with CaptureSession(make_lab(), tmp_path) as session, pytest.raises(HarnessFault, match="started already"):
        session.start()


TUN = Port(host="client", name="tun0", mac="02:00:00:00:00:09")


def test_a_device_that_came_later_is_captured_too_and_each_of_its_lives_has_a_file(
    make_lab: Callable[..., Any], tmp_path: Path
) -> None:
    lab = make_lab()
    session = CaptureSession(lab, tmp_path / "out", ports=["client:eth0"])
    session.start()
    session.add(TUN)
    session.end(TUN)
    session.add(TUN)
    session.stop()
    assert [report.file.name for report in session.reports] == [
        "client-tun0.pcap",
        "client-eth0.pcap",
        "client-tun0-2.pcap",
    ]
    told = json.loads((tmp_path / "out/taps.json").read_text())["taps"]
    assert {name: (fact["interface"], fact["captured"]) for name, fact in told.items()} == {
        "client-tun0.pcap": ("tun0", 2), "client-eth0.pcap": ("eth0", 2), "client-tun0-2.pcap": ("tun0", 2),
    }  # fmt: skip


def test_a_snapshot_tells_what_was_taken_so_far_and_goes_on(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    lab = make_lab()
    session = CaptureSession(lab, tmp_path / "out", ports=["client:eth0"])
    session.start()
    session.snapshot({"tunnel": {}})
    told = json.loads((tmp_path / "out/taps.json").read_text())
    assert (told["taps"]["client-eth0.pcap"]["captured"], told["tunnel"]) == (2, {})
    assert [process.code for process in processes(lab)] == [None]
    session.stop()


def test_a_device_that_went_with_its_daemon_is_a_doubt_and_a_port_that_ended_is_a_fault(
    make_lab: Callable[..., Any], tmp_path: Path
) -> None:
    def dies(process: FakeProcess, sig: int) -> None:
        capturing(process, sig)
        if "tun0" in process.name:
            process.say("recorder: The interface disappeared")
            process.code = 2

    lab = make_lab(dies)
    session = CaptureSession(lab, tmp_path / "out", ports=["client:eth0"])
    session.start()
    session.add(TUN)
    session.snapshot()
    assert "disappeared" in json.loads((tmp_path / "out/taps.json").read_text())["taps"]["client-tun0.pcap"]["problem"]
    session.stop()
    assert ["disappeared" in report.problem for report in session.reports] == [False, True]


def test_flows_that_are_asked_for_later_are_fetched_with_those_before(
    make_lab: Callable[..., Any], tmp_path: Path
) -> None:
    asked: list[Any] = []
    session = CaptureSession(make_lab(), tmp_path / "out")
    assert not session.thinned
    session._stopped = [SimpleNamespace(thinned=True, bring=asked.append, forget=lambda: None)]  # type: ignore[list-item]
    assert session.thinned
    for flows in (["a > b"], ["a > b"], ["c > d"]):
        session.bring(flows)
    assert asked == [("a > b",), ("a > b", "c > d")]
    session.forget()
    assert not session.thinned
