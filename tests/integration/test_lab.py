"""Labs of network namespaces: up, reachable, forwarding, apart from each other and from the host, and gone again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import EnvironmentFault, LabFailed
from hopscope.hosts.ready import ListeningPort
from hopscope.lab import state
from hopscope.lab.lab import Lab
from hopscope.lab.preflight import preflight
from hopscope.lab.rtt import measure_idle_rtt
from hopscope.model.topology import Host, Impairment, Link, Port, Topology
from hopscope.providers.netns import NetnsProvider
from support import machine
from support.kept import belongings, users

pytestmark = pytest.mark.integration

SERVER = "10.1.2.10"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    provider = NetnsProvider()
    lab = provider.acquire(data.topology("chain"), directory=tmp_path_factory.mktemp("labs"))
    yield lab
    provider.release(lab)


def ping(lab: Lab, target: str, host: str = "client", count: int = 2) -> str:
    return lab.hosts[host].run(["ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2", target]).text


def test_ping_goes_through_the_whole_chain(lab: Lab) -> None:
    answer = ping(lab, SERVER)
    assert " 0% packet loss" in answer
    assert "ttl=62" in answer, "two boxes forwarded it"


def test_the_boxes_forward_and_the_ends_do_not(lab: Lab) -> None:
    seen = {name: host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).text for name, host in lab.hosts.items()}
    assert seen == {"client": "0", "clientnic": "1", "servernic": "1", "server": "0"}


def test_ports_are_as_declared_without_offloads_and_ipv6(lab: Lab) -> None:
    for port in lab.topology.ports:
        host = lab.hosts[port.host]
        shown = json.loads(host.run(["ip", "-json", "address", "show", "dev", port.name]).stdout)[0]
        assert shown["address"] == port.mac
        assert shown["mtu"] == port.mtu
        assert "LOWER_UP" in shown["flags"]
        assert "NO-CARRIER" not in shown["flags"], "the port is up for whoever asks, from the start"
        assert [f"{each['local']}/{each['prefixlen']}" for each in shown["addr_info"]] == [
            str(address) for address in port.addresses
        ]
        features = host.run(["ethtool", "-k", port.name]).text
        for feature in ("tx-checksumming", "tcp-segmentation-offload", "generic-receive-offload"):
            assert f"{feature}: off" in features


def test_what_was_set_is_recorded_with_what_was_read(lab: Lab) -> None:
    records = {(record.host, record.name): record for record in lab.settings}
    assert records["clientnic", "sysctl net.ipv4.ip_forward"].seen == "1"
    offload = records["client", "offload eth0"]
    assert offload.seen == offload.wanted == "gro=off gso=off tso=off tx=off"
    assert "tx=on" in offload.before


def test_offloads_stay_on_when_asked_for(tmp_path: Path) -> None:
    with NetnsProvider().acquire(data.topology("chain"), directory=tmp_path, offloads=True) as lab:
        assert "tx-checksumming: on" in lab.hosts["client"].run(["ethtool", "-k", "eth0"]).text


def test_a_link_without_impairment_is_a_bare_veth(lab: Lab) -> None:
    assert [lab.mechanism[link.name] for link in lab.topology.links].count("veth") == 2
    assert measure_idle_rtt(lab, "client", "clientnic") < 1_000_000


def test_two_labs_with_the_same_addresses_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    with NetnsProvider().acquire(data.topology("chain"), directory=tmp_path) as other:
        server = ["iperf3", "-s", "-p", "8080"]
        with lab.hosts["server"].spawn(server, name="listener", ready=ListeningPort(8080)):
            assert "0A" in lab.hosts["server"].run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], check=False).text
            assert ":1F90" not in other.hosts["server"].run(["cat", "/proc/net/tcp"]).text
            with other.hosts["server"].spawn(server, name="listener", ready=ListeningPort(8080)):
                assert " 0% packet loss" in ping(other, SERVER)
                assert " 0% packet loss" in ping(lab, SERVER)


def test_a_lab_comes_and_goes_and_leaves_nothing(tmp_path: Path) -> None:
    before = machine.links(), machine.named_namespaces()
    provider = NetnsProvider(roots=())
    started = time.monotonic()
    lab = provider.acquire(data.topology("chain"), directory=tmp_path, name="brief")
    up = time.monotonic()
    assert (tmp_path / "brief" / "lab.json").exists()
    lab.hosts["server"].spawn(["sleep", "60"], name="sleeper")
    assert (machine.links(), machine.named_namespaces()) == before
    found = state.read(lab.directory)
    assert found is not None
    made = belongings(found.keeper.pid)
    assert users(made)
    stopping = time.monotonic()
    provider.release(lab)
    down = time.monotonic()
    assert list(tmp_path.iterdir()) == []
    assert users(made) == set()
    assert provider.leaks() == []
    assert up - started < 5, "well under a second on an idle machine"
    assert down - stopping < 5


def test_a_name_in_use_is_refused(lab: Lab) -> None:
    with pytest.raises(LabFailed, match="already"):
        NetnsProvider().acquire(lab.topology, directory=lab.directory.parent, name=lab.name)
    assert " 0% packet loss" in ping(lab, SERVER)


def test_a_topology_that_cannot_be_built_leaves_nothing(tmp_path: Path) -> None:
    """Two addresses of one subnet on one host's ports make a route that the kernel refuses as a duplicate."""
    a = Port(host="a", name="eth0", addresses=("10.9.0.1/24",))
    b = Port(host="b", name="eth0", addresses=("10.9.0.1/24", "10.9.0.1/24"))
    hosts = (Host(name="a", ports=(a,)), Host(name="b", ports=(b,)))
    topology = Topology(name="twice", hosts=hosts, links=(Link(a=a, b=b),))
    before = machine.descendants(os.getpid())
    with pytest.raises(LabFailed, match="exists"):
        NetnsProvider().acquire(topology, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert machine.descendants(os.getpid()) <= before


def test_ipv6_addresses_are_usable_at_once(tmp_path: Path) -> None:
    a = Port(host="a", name="eth0", addresses=("fd00:9::1/64",))
    b = Port(host="b", name="eth0", addresses=("fd00:9::2/64",))
    hosts = (Host(name="a", ports=(a,)), Host(name="b", ports=(b,)))
    link = Link(a=a, b=b, impairment=Impairment(rtt_ms=4))
    with NetnsProvider().acquire(Topology(name="six", hosts=hosts, links=(link,)), directory=tmp_path) as lab:
        assert 4_000_000 <= measure_idle_rtt(lab, "a", "b") < 5_000_000


def test_settings_of_a_link_are_about_impaired_links_only(lab: Lab) -> None:
    bare = lab.topology.link_between("client", "clientnic").name
    with pytest.raises(EnvironmentFault, match="is veth"):
        lab.impairment(bare, Impairment(rtt_ms=5))


def test_preflight_tries_everything_and_leaves_nothing() -> None:
    before = machine.links(), machine.descendants(os.getpid())
    found = {capability.name: capability for capability in preflight()}
    assert found["namespaces"].present
    for name in ("veth", "packet sockets", "nft", "ethtool", "ping"):
        assert found[name].present, found[name].detail
    for capability in found.values():
        assert capability.present == (not capability.detail)
    assert machine.links() == before[0]
    assert machine.descendants(os.getpid()) <= before[1]
