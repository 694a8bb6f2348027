"""Load over a real chain: every connection has an outcome, and a rate that was not reached is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.lab.lab import Lab
from hopscope.model.topology import Impairment
from hopscope.providers.netns import NetnsProvider
from hopscope.traffic.report import RateMissed
from hopscope.traffic.traffic import Traffic

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    provider = NetnsProvider()
    lab = provider.acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs"))
    yield lab
    provider.release(lab)


@pytest.fixture
def traffic(lab: Lab, tmp_path: Path) -> Iterator[Traffic]:
    with Traffic(lab, tmp_path) as load:
        yield load


def test_connections_at_a_rate_and_their_round_trips(traffic: Traffic, tmp_path: Path) -> None:
    report = traffic.connections(200, 100)
    assert report.outcomes == {"ok": 200}
    assert report.established_rate == pytest.approx(100, rel=0.1)
    assert report.ttfb_ns(0.5) == pytest.approx(40e6, rel=0.15), "two round trips of 20 ms on plain TCP"
    assert report.cc == "reno"
    assert {name: report.server[name] for name in ("accepted", "requests", "closed", "corrupt", "open")} == {
        "accepted": 200, "requests": 200, "closed": 200, "corrupt": 0, "open": 0,
    }  # fmt: skip
    assert {each.port for each in report.connections} == {8080, 8081, 8082, 8083}
    assert len((tmp_path / "connections-1.jsonl").read_text().splitlines()) == 201


def test_many_at_once_and_many_per_second(traffic: Traffic) -> None:
    assert traffic.connections(200).completed == 200
    report = traffic.connections(1500, 1000)
    assert report.completed == 1500
    assert report.established_rate == pytest.approx(1000, rel=0.2)


def test_rounds_large_answers_and_resets(traffic: Traffic) -> None:
    report = traffic.connections(20, 50, rounds=3, request=3000, response=50_000)
    assert report.completed == 20
    assert {each.bytes for each in report.connections} == {150_000}
    report = traffic.connections(20, 50, close="rst")
    assert report.completed == 20
    assert report.server["closed"] == 0


def test_congestion_control_is_set_on_the_socket_and_told(traffic: Traffic) -> None:
    assert traffic.connections(5, 50, cc="reno").cc == "reno"
    with pytest.raises(EnvironmentFault, match="congestion control 'none-such' is refused"):
        traffic.connections(5, 50, cc="none-such")


def test_connections_that_the_path_eats_are_outcomes_and_not_the_environments_fault(lab: Lab, traffic: Traffic) -> None:
    with lab.applied(lab.impairment(lab.topology.wan.name, Impairment(loss=1.0))):
        report = traffic.connections(60, 200, timeout=0.5, grace=0.2)
    assert report.outcomes == {"timeout": 60}
    assert report.established == 0
    assert "0.5 s were not enough to connect: nothing came, and no more in 0.2 s of grace" in report.explain()


SLOW = """#!{python} -IS
import runpy, socket, sys, time

class Slow(socket.socket):
    def connect_ex(self, address):
        time.sleep(0.005)
        return super().connect_ex(address)

socket.socket = Slow
sys.argv = sys.argv[sys.argv.index("-S") + 1 :]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_rate_that_the_client_cannot_keep_is_the_environments_fault(lab: Lab, tmp_path: Path) -> None:
    """A client that needs 5 ms for each connection starts at most 200 per second, however fast the machine is."""
    slow = tmp_path / "slow-python"
    slow.write_text(SLOW.format(python=sys.executable))
    slow.chmod(0o755)
    with (
        Traffic(lab, tmp_path, python=str(slow)) as traffic,
        pytest.raises(RateMissed, match=r"connections per second were started of 2000 asked for") as caught,
    ):
        traffic.connections(200, 2000)
    assert caught.value.report.completed == 200
    assert "started at most" in str(caught.value)


def test_more_connections_than_ports_are_not_begun(traffic: Traffic) -> None:
    with pytest.raises(UsageError, match=r"30000 connections do not fit: 1 client address\(es\) x 1 server port"):
        traffic.connections(30_000, 100, ports=[8080])


def test_nothing_listens_after_the_context(lab: Lab, tmp_path: Path) -> None:
    with Traffic(lab, tmp_path) as load:
        load.connections(5, 50)
        assert "8080" in lab.hosts["server"].run(["ss", "-Hltn"]).text
    assert lab.hosts["server"].run(["ss", "-Hltn"]).text == ""
    last = json.loads((tmp_path / "server-responder.out").read_text().splitlines()[-1])
    assert (last["event"], last["accepted"]) == ("stopped", 5)


def test_iperf3_both_ways_leaves_no_server(lab: Lab, traffic: Traffic) -> None:
    traffic.connections(5, 50)
    for reverse, bitrate in ((False, "5M"), (True, None)):
        report = traffic.iperf3(1, reverse=reverse, bitrate=bitrate)
        assert report.bits_per_second > 1e6
        assert bitrate is None or report.bits_per_second == pytest.approx(5e6, rel=0.3)
        assert report.bytes > 0
        assert report.cc == "reno"
        assert lab.hosts["server"].run(["ss", "-Hltn"]).text == ""
    with pytest.raises(EnvironmentFault, match="iperf3 failed: unable to set TCP_CONGESTION"):
        traffic.iperf3(1, cc="none-such")
    assert lab.hosts["server"].run(["ss", "-Hltn"]).text == ""
    assert traffic.connections(5, 50).completed == 5
