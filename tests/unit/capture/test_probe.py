from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.capture.probe import verify_taps
from hopscope.errors import CaptureUnhealthy, EnvironmentFault
from hopscope.model.topology import Port
from hopscope.wire.writer import write_pcap
from support.fakehost import FakeHost, FakeProcess, fake_lab


class Wire:
    """Captures that hold what pings put on the links; ports in ``blind`` see nothing."""

    def __init__(self, directory: Path, blind: tuple[str, ...] = (), silent: bool = False) -> None:
        self.topology = data.topology("chain")
        self.blind = blind
        self.silent = silent
        self.seen: dict[str, list[bytes]] = {port.tap: [] for port in self.topology.ports}
        answers = {"date": b"7\n", "ethtool": b"", "ip": b'[{"address": "02:00:00:00:00:07"}]', "ping": self.ping}
        self.hosts = {
            host.name: FakeHost(host.name, directory / host.name, self.capture, dict(answers))
            for host in self.topology.hosts
        }
        self.lab = fake_lab(self.topology, self.hosts)

    def ping(self, argv: list[str]) -> tuple[int, bytes, bytes]:
        target, tag = argv[-1], bytes.fromhex(argv[argv.index("-p") + 1])
        (far,) = [port for port in self.topology.ports if str(port.address()) == target]
        for port in (far, self.topology.neighbour(far)):
            if port.tap not in self.blind:
                self.seen[port.tap].append(tag)
        return (1, b"100% packet loss", b"") if self.silent else (0, b"0% packet loss", b"")

    def capture(self, process: FakeProcess, sig: int) -> None:
        file = next(Path(word) for word in process.argv if word.endswith(".pcap"))
        tags = self.seen[file.stem]
        if sig == signal.SIGUSR1:
            process.say(
                f"{len(tags)} packets captured, {len(tags)} packets received by filter, 0 packets dropped by kernel"
            )
        elif sig:
            write_pcap(file, [(1, bytes(58) + tag * 4) for tag in tags])
            process.code = 0


@pytest.fixture
def wire(tmp_path: Path) -> Callable[..., Any]:
    return lambda **how: Wire(tmp_path / "hosts", **how)


def test_a_probe_over_each_link_with_a_tag_of_its_own(wire: Callable[..., Wire], tmp_path: Path) -> None:
    probes = verify_taps(wire().lab, tmp_path / "probe")
    assert [probe.link.name for probe in probes] == [link.name for link in data.topology("chain").links]
    assert len({probe.tag for probe in probes}) == 3
    assert all(probe.answered for probe in probes)


@pytest.mark.parametrize("port", [port.tap for port in data.topology("chain").ports])
def test_a_blind_tap_is_named(wire: Callable[..., Wire], tmp_path: Path, port: str) -> None:
    with pytest.raises(CaptureUnhealthy, match=f"^tap {port} did not see the probe over link [^;]*$"):
        verify_taps(wire(blind=(port,)).lab, tmp_path / "probe")


def test_hosts_that_do_not_answer_are_the_environments_fault(wire: Callable[..., Wire], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="no answer to the probe over link client:eth0--clientnic:eth0"):
        verify_taps(wire(silent=True).lab, tmp_path / "probe")


def test_a_link_that_loses_packets_is_asked_again(wire: Callable[..., Wire], tmp_path: Path) -> None:
    world = wire()
    (lan, wan, far) = world.topology.links
    lossy = wan.model_copy(update={"impairment": wan.impairment.model_copy(update={"loss": 0.5})})
    world.lab.topology = world.topology.model_copy(update={"links": (lan, lossy, far)})
    calls: list[Port] = []

    def unlucky(argv: list[str]) -> tuple[int, bytes, bytes]:
        calls.append(lossy.b)
        return world.ping(argv) if len(calls) == 3 else (1, b"", b"")

    world.hosts["clientnic"].answers["ping"] = unlucky
    assert all(probe.answered for probe in verify_taps(world.lab, tmp_path / "probe"))
    assert len(calls) == 3
