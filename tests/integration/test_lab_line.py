"""What a link does to packets: delay as declared, loss and reordering as asked for, and nothing else lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, SettingRefused, UsageError
from hopscope.hosts.ready import ListeningPort
from hopscope.lab.lab import Lab
from hopscope.lab.plan import Mechanism
from hopscope.lab.rtt import check_rtt, measure_idle_rtt
from hopscope.model.topology import Impairment, Topology
from hopscope.providers.netns import NetnsProvider

pytestmark = pytest.mark.integration

WAN = "clientnic:eth1--servernic:eth0"
UNWANTED = ("missed", "dropped", "refused")
MECHANISMS: tuple[Mechanism, ...] = ("tap-line", "packet-line")


def acquire(topology: Topology, folder: Path, mechanism: Mechanism | None = None, **given: bool) -> Lab:
    return NetnsProvider().acquire(topology, directory=folder, mechanism=mechanism, **given)


@pytest.fixture(scope="module", params=MECHANISMS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with acquire(data.topology("chain"), tmp_path_factory.mktemp("labs"), request.param) as lab:
        assert lab.mechanism[WAN] == request.param
        yield lab


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("rtt_ms", [0.5, 100])
def test_the_idle_round_trip_is_as_declared(tmp_path: Path, mechanism: Mechanism, rtt_ms: float) -> None:
    with acquire(data.topology("chain").with_rtt(rtt_ms), tmp_path, mechanism) as lab:
        achieved = check_rtt(lab)
        assert rtt_ms * 1e6 < achieved, "no earlier than declared, ever"


def test_a_round_trip_that_is_off_is_the_environments_fault(lab: Lab) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        check_rtt(lab, declared_ms=30)
    assert "declared:  30.000 ms" in str(caught.value)
    assert "tolerance: 1.500 ms" in str(caught.value)


def test_delay_changes_while_the_lab_is_up_and_comes_back(lab: Lab) -> None:
    with lab.applied(lab.impairment(WAN, Impairment(rtt_ms=60))) as (record,):
        assert record.seen == "delay_ms=30 loss=0 reorder=0 reorder_ms=1"
        check_rtt(lab, declared_ms=60)
    check_rtt(lab)


def test_loss_is_per_direction_and_counted(lab: Lab) -> None:
    before = lab.link_counters(WAN)
    with lab.applied(lab.impairment(WAN, Impairment(rtt_ms=2, loss=0.25))):
        measure_idle_rtt(lab, "client", "server", count=400)
        after = lab.link_counters(WAN)
    lost = {way: after[way]["lost"] - before[way]["lost"] for way in after}
    assert 60 <= lost["a_to_b"] <= 140, "of 400"
    assert 40 <= lost["b_to_a"] <= 110, "of 300"


def test_reordered_packets_come_later_and_none_comes_earlier(lab: Lab) -> None:
    before = lab.link_counters(WAN)
    with lab.applied(lab.impairment(WAN, Impairment(rtt_ms=10, reorder=0.2, reorder_ms=15))):
        ping = lab.hosts["client"].run(["ping", "-n", "-c", "100", "-i", "0.004", "10.1.2.10"]).text
    lines = [line for line in ping.splitlines() if "icmp_seq=" in line]
    order = [int(line.partition("icmp_seq=")[2].split()[0]) for line in lines]
    assert sorted(order) == list(range(1, 101)), "nothing is lost"
    assert order != sorted(order)
    assert min(float(line.partition("time=")[2].split()[0]) for line in lines) >= 10
    after = lab.link_counters(WAN)
    assert 5 <= after["a_to_b"]["reordered"] - before["a_to_b"]["reordered"] <= 40


def test_loss_is_the_same_with_the_same_seed(tmp_path: Path) -> None:
    lost = []
    for name in ("first", "second"):
        with acquire(data.topology("chain"), tmp_path / name) as lab:
            line = lab.impairment(WAN, Impairment(rtt_ms=1, loss=0.3, reorder=0.001))
            if lab.mechanism[WAN] == "netem":
                pytest.skip("netem draws its own numbers")
            lab.hosts["client"].run(["ping", "-n", "-c", "1", "10.1.2.10"])  # neighbours, before anything is drawn
            with lab.applied(line):
                ping = lab.hosts["client"].run(
                    ["ping", "-n", "-c", "60", "-i", "0.01", "-W", "0.1", "10.1.1.2"], check=False
                )
            lost.append({line.partition("icmp_seq=")[2].split()[0] for line in ping.text.splitlines() if "ttl" in line})
    assert lost[0] == lost[1]


def test_bulk_flows_and_nothing_is_lost_on_the_way(lab: Lab) -> None:
    with lab.hosts["server"].spawn(["iperf3", "-s", "-1"], name="iperf3", ready=ListeningPort(5201)):
        command = ["iperf3", "-c", "10.1.2.10", "-t", "2", "-C", "reno", "-J"]
        report = json.loads(lab.hosts["client"].run(command, timeout=30).stdout)
    assert report["end"]["sum_received"]["bits_per_second"] > 50e6
    # Not the retransmissions: TCP makes some whenever the whole machine stalls for longer than its timer.
    for way in lab.link_counters(WAN).values():
        assert {name: way[name] for name in UNWANTED} == dict.fromkeys(UNWANTED, 0)


def test_superframes_cross_whole_where_offloads_are_on(tmp_path: Path) -> None:
    with (
        acquire(data.topology("chain"), tmp_path, "tap-line", offloads=True) as lab,
        lab.hosts["server"].spawn(["iperf3", "-s", "-1"], name="iperf3", ready=ListeningPort(5201)),
    ):
        command = ["iperf3", "-c", "10.1.2.10", "-t", "1", "-C", "reno"]
        lab.hosts["client"].run(command, timeout=30)
        counters = lab.link_counters(WAN)["a_to_b"]
    assert {name: counters[name] for name in UNWANTED} == dict.fromkeys(UNWANTED, 0)
    assert counters["bytes"] / counters["packets"] > 3000


def test_netem_is_used_where_the_kernel_has_it(tmp_path: Path) -> None:
    with acquire(data.topology("chain"), tmp_path) as lab:
        mechanism = lab.mechanism[WAN]
        if mechanism != "netem":
            pytest.skip(f"this kernel has no netem: {mechanism}")
        check_rtt(lab)
        with lab.applied(lab.impairment(WAN, Impairment(rtt_ms=60, loss=0.01))) as (record,):
            assert record.seen == "delay_ms=30 loss=0.01"
            check_rtt(lab, declared_ms=60)
        check_rtt(lab)


def test_a_bare_veth_cannot_be_forced_on_an_impaired_link(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="impaired"):
        acquire(data.topology("chain"), tmp_path, "veth")
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_has_died_refuses_a_change(tmp_path: Path) -> None:
    with acquire(data.topology("chain"), tmp_path, "tap-line") as lab:
        lab.lines[WAN].stop()
        with pytest.raises((SettingRefused, EnvironmentFault)):
            lab.apply(lab.impairment(WAN, Impairment(rtt_ms=5)))
