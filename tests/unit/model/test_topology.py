from __future__ import annotations

from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.model.document import load_topology, parse_topology
from hopscope.model.sut import Box, Sut
from hopscope.model.topology import Host, Impairment, Port, Role, Topology, stable_mac

DIAMOND = """\
name: diamond
hosts: {a: {}, up: {role: router}, down: {role: router}, b: {}}
links:
  - {endpoints: ["a:up", "up:a"], subnet: 10.0.1.0/24}
  - {endpoints: ["a:down", "down:a"], subnet: 10.0.2.0/24}
  - {endpoints: ["up:b", "b:up"], subnets: [10.0.3.0/24, "fd00:3::/64"]}
  - {endpoints: ["down:b", "b:down"], subnet: 10.0.4.0/24}
"""


@pytest.fixture
def chain() -> Topology:
    return load_topology(Path("fixtures/topologies/chain.yaml"))


def test_roles_ports_and_neighbours(chain: Topology) -> None:
    assert chain.role("clientnic").forwarding
    assert not chain.role(Role.SERVER).forwarding
    assert chain.neighbour("client:eth0").key == "clientnic:eth0"
    assert chain.neighbour(chain.port("servernic:eth0")).key == "clientnic:eth1"
    assert chain.link_between("server", "servernic").name == "servernic:eth1--server:eth0"
    assert [port.tap for port in chain.ports][:2] == ["client-eth0", "clientnic-eth0"]
    assert str(chain.port("client:eth0").address()) == "10.1.0.10"
    assert chain.port("client:eth0").address(6) is None
    assert [str(each) for each in chain.links[0].subnets] == ["10.1.0.0/24"]


def test_macs_depend_on_names_only(chain: Topology) -> None:
    assert chain.port("client:eth0").mac == stable_mac("client", "eth0")
    assert len({port.mac for port in chain.ports}) == 6
    assert all(port.mac.startswith("02:") for port in chain.ports)


def test_routes_lead_both_ways_over_the_chain(chain: Topology) -> None:
    routes = {(route.host, str(route.destination)): (str(route.via), route.port) for route in chain.routes()}
    assert routes == {
        ("client", "10.1.1.0/24"): ("10.1.0.1", "eth0"),
        ("client", "10.1.2.0/24"): ("10.1.0.1", "eth0"),
        ("clientnic", "10.1.2.0/24"): ("10.1.1.2", "eth1"),
        ("servernic", "10.1.0.0/24"): ("10.1.1.1", "eth0"),
        ("server", "10.1.0.0/24"): ("10.1.2.1", "eth0"),
        ("server", "10.1.1.0/24"): ("10.1.2.1", "eth0"),
    }


def test_path_and_declared_round_trip(chain: Topology) -> None:
    assert [link.name for link in chain.path("server", "client")] == [link.name for link in reversed(chain.links)]
    assert chain.path("client", "client") == ()
    assert chain.rtt_ms("client", "server") == 20
    assert chain.with_rtt(100).rtt_ms("client", "server") == 100
    assert chain.with_rtt(0).wan.name == chain.wan.name == "clientnic:eth1--servernic:eth0"
    with pytest.raises(UsageError, match="not possible"):
        chain.with_rtt(-1)


def test_of_links_that_declare_no_round_trip_the_one_that_is_named_gets_it() -> None:
    routed = data.topology("tunnel-routed")
    bare = tuple(link.model_copy(update={"impairment": Impairment()}) for link in routed.links)
    found = routed.model_copy(update={"links": bare})
    with pytest.raises(UsageError, match="no link that could be the WAN"):
        found.with_rtt(20)
    wan = found.links[routed.links.index(routed.wan)]
    assert found.with_rtt(20, wan).wan.name == routed.wan.name


def test_ties_go_to_the_first_link_and_end_hosts_do_not_forward() -> None:
    diamond = parse_topology(DIAMOND)
    assert [link.a.host for link in diamond.path("a", "b")] == ["a", "up"]
    routes = {(route.host, str(route.destination)): str(route.via) for route in diamond.routes()}
    assert routes["a", "10.0.3.0/24"] == "10.0.1.2"
    assert routes["a", "10.0.4.0/24"] == "10.0.2.2"
    assert routes["up", "10.0.2.0/24"] == "10.0.1.1"
    assert ("a", "fd00:3::/64") not in routes, "no next hop of that family"
    with pytest.raises(UsageError, match="no way from up to down"):
        diamond.path("up", "down")
    with pytest.raises(UsageError, match="no link that could be the WAN"):
        _ = diamond.wan


def test_looking_up_what_is_not_there(chain: Topology) -> None:
    for lookup, message in [
        (lambda: chain.host("clientnick"), "did you mean 'clientnic'"),
        (lambda: chain.port("client:eth9"), "did you mean 'eth0'"),
        (lambda: chain.role("router"), "exactly one host of role 'router' for this; it has none"),
        (lambda: chain.link_between("client", "server"), "no link between client and server"),
        (lambda: chain.link_of("client:eth7"), "no link ends at"),
    ]:
        with pytest.raises(UsageError, match=message):
            lookup()


def test_boxes_by_name_or_role(chain: Topology) -> None:
    box = Box(argv=("run",))
    assert chain.boxes(Sut(name="x", boxes={"clientnic": box})) == {"clientnic": box}
    diamond = parse_topology(DIAMOND.replace("a: {}", "a: {role: client}"))
    assert diamond.boxes(Sut(name="x", boxes={"client": box})) == {"a": box}
    with pytest.raises(UsageError, match="it has up, down"):
        diamond.boxes(Sut(name="x", boxes={"router": box}))
    with pytest.raises(UsageError, match="no host or role"):
        diamond.boxes(Sut(name="x", boxes={"nobody": box}))


def test_a_box_knows_its_command() -> None:
    box = Box(argv=("{python}", "-m", "x", '{"a": 1}', "{host_dir}/y"), version=("{python}", "-V"))
    assert box.command(python="py", host_dir="/h") == ("py", "-m", "x", '{"a": 1}', "/h/y")
    assert box.version_command(python="py", host_dir="/h") == ("py", "-V")
    assert Box(argv=("x",)).version_command(python="py", host_dir="/h") is None


def test_impairment_is_active_when_it_does_something() -> None:
    assert not Impairment().active
    assert Impairment(rtt_ms=1).active
    assert Impairment(loss=0.1).active
    assert not Impairment(reorder_ms=5).active


def test_models_default_what_names_imply() -> None:
    assert Port(host="client", name="eth0").mac == stable_mac("client", "eth0")  # type: ignore[call-arg]
    assert Host(name="x", role=Role.ROUTER).forwarding  # type: ignore[call-arg]
