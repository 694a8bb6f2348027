"""Captures of a real chain: whole, stamped in nanoseconds, drained; and every way in which one is not says so."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hopscope import data
from hopscope.capture.probe import verify_taps
from hopscope.capture.programs import PROGRAMS, Options
from hopscope.capture.session import CaptureSession
from hopscope.capture.tap import CaptureTap
from hopscope.errors import CaptureUnhealthy, EnvironmentFault
from hopscope.lab.lab import Lab
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Impairment
from hopscope.providers.netns import NetnsProvider
from hopscope.traffic.traffic import Traffic
from hopscope.wire import pcap
from hopscope.wire.trace import Trace

pytestmark = pytest.mark.integration

SERVER = "10.1.2.10"
SYN, ACK = 2, 16


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    provider = NetnsProvider()
    lab = provider.acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs"))
    yield lab
    provider.release(lab)


def ping(lab: Lab, count: int = 1) -> None:
    lab.hosts["client"].run(["ping", "-n", "-c", str(count), "-i", "0.02", "-W", "2", SERVER], timeout=30)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_connection_is_on_every_tap_and_nothing_is_lost(lab: Lab, tmp_path: Path, program: str) -> None:
    with Traffic(lab, tmp_path) as traffic:
        session = CaptureSession(lab, tmp_path / "capture", program=program)
        session.start()
        report = traffic.connections(200, 200)
        session.stop({"rtt_ns": 20_000_000})
    assert report.completed == 200
    assert all(each.healthy for each in session.reports)
    stamps = []
    for each in session.reports:
        packets = pcap.read(each.file)
        assert len(packets) == each.captured
        assert int(((packets.flags & (SYN | ACK)) == SYN).sum()) == 200
        assert each.live_ns < packets.time.min(), "live before the traffic"
        stamps.append(packets.time)
    assert any(int(stamp) % 1000 for stamp in np.concatenate(stamps)), "nanoseconds, not microseconds"


def test_the_folder_reads_as_one_trace(lab: Lab, tmp_path: Path) -> None:
    with Traffic(lab, tmp_path) as traffic, CaptureSession(lab, tmp_path / "capture"):
        traffic.connections(20, 100)
    trace = Trace.load(tmp_path / "capture")
    assert len(trace.taps) == 6
    assert trace.same_clock
    assert len(trace.flows) == 20
    for tap in trace.taps.values():
        assert tap.healthy
        assert tap.mac == int(lab.topology.port(tap.name.replace("-", ":")).mac.replace(":", ""), 16)
        assert tap.health is not None
        assert not tap.health.offloads


def test_the_last_packets_of_a_quiet_link_are_not_left_in_the_ring(lab: Lab, tmp_path: Path) -> None:
    for program in PROGRAMS:
        for attempt in range(3):
            directory = tmp_path / f"{program}-{attempt}"
            with CaptureSession(lab, directory, program=program):
                ping(lab)
            echoes = pcap.read(directory / "server-eth0.pcap")
            assert int((echoes.proto == 1).sum()) == 2, "request and reply"


def test_a_filter_and_a_snap_length(lab: Lab, tmp_path: Path) -> None:
    with Traffic(lab, tmp_path) as traffic:
        with CaptureSession(lab, tmp_path / "capture", filter="icmp", snaplen=60, ports=["client:eth0"]) as session:
            traffic.connections(5, 50)
            ping(lab)
        assert [each.captured for each in session.reports] == [2]
        packets = pcap.read(tmp_path / "capture/client-eth0.pcap")
    assert packets.caplen.tolist() == [60, 60]
    assert packets.wirelen.tolist() == [98, 98]


def test_a_filter_that_is_none_is_said_and_nothing_stays(lab: Lab, tmp_path: Path) -> None:
    for program in PROGRAMS:
        with pytest.raises(EnvironmentFault, match="before it was ready") as caught:
            CaptureSession(lab, tmp_path / program, filter="tpc", program=program).start()
        assert "syntax error" in str(caught.value)
    running = lab.hosts["client"].run(["ps", "-eo", "args"]).text
    assert "recorder" not in running
    assert "tcpdump" not in running


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_tap_that_is_killed_is_named_and_its_capture_kept(lab: Lab, tmp_path: Path, program: str) -> None:
    session = CaptureSession(lab, tmp_path, program=program)
    session.start()
    ping(lab)
    victim = session.taps[3]
    victim.signal(signal.SIGKILL)
    with pytest.raises(CaptureUnhealthy, match=f"tap {victim.port.tap} ended by itself") as caught:
        session.stop()
    assert caught.value.host == "servernic"
    taps = json.loads((tmp_path / "taps.json").read_text())["taps"]
    assert [name for name, tap in taps.items() if tap.get("problem")] == ["servernic-eth0.pcap"]
    assert taps["servernic-eth0.pcap"]["received"] > taps["servernic-eth0.pcap"]["captured"]
    assert taps["client-eth0.pcap"]["captured"] >= 2


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_capture_that_reaches_its_bound_says_so(lab: Lab, tmp_path: Path, program: str) -> None:
    port = lab.topology.port("client:eth0")
    options = Options(limit_bytes=200_000)
    tap = CaptureTap(lab.hosts["client"], port, tmp_path / "client-eth0.pcap", options, program=program)
    tap.start()
    with Traffic(lab, tmp_path) as traffic:
        traffic.connections(10, 50, response=100_000)
    wait_until(lambda: tap.ended, timeout=5, what="the bound")
    report = tap.stop()
    assert not report.healthy
    assert "bound of 200000 bytes" in report.problem
    assert report.file.stat().st_size >= 100_000, "what came before is kept"


def test_a_full_disk_is_said(lab: Lab, tmp_path: Path) -> None:
    full = tmp_path / "full.pcap"
    full.symlink_to("/dev/full")
    tap = CaptureTap(lab.hosts["client"], lab.topology.port("client:eth0"), full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        tap.start()


def test_a_disk_that_fills_up_is_said(lab: Lab, tmp_path: Path) -> None:
    client = lab.hosts["client"]
    disk = tmp_path / "disk"
    disk.mkdir()
    # In the lab's own mount namespace: it ends with the lab, and nobody else sees it.
    client.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)])
    tap = CaptureTap(client, lab.topology.port("client:eth0"), disk / "client-eth0.pcap")
    try:
        with pytest.raises(EnvironmentFault, match="No such file"):
            CaptureTap(client, lab.topology.port("client:eth0"), disk / "no/client-eth0.pcap").start()
        tap.start()
        with Traffic(lab, tmp_path) as traffic:
            traffic.connections(10, 50, response=100_000)
        report = tap.stop()
    finally:
        client.run(["umount", "--lazy", str(disk)])
    assert not report.healthy
    assert "No space left on device" in report.problem


def test_a_probe_over_every_link_is_seen_on_both_taps(lab: Lab, tmp_path: Path) -> None:
    probes = verify_taps(lab, tmp_path / "probe")
    assert [probe.answered for probe in probes] == [True] * 3


def test_a_link_that_carries_nothing_names_the_tap_that_saw_nothing(lab: Lab, tmp_path: Path) -> None:
    wan = lab.topology.wan
    with (
        lab.applied(lab.impairment(wan.name, Impairment(loss=1.0))),
        pytest.raises(CaptureUnhealthy, match=r"^tap servernic-eth0 did not see the probe over link [^;]*$"),
    ):
        verify_taps(lab, tmp_path / "probe")
