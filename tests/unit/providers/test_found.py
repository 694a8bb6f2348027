"""Hosts as surveys tell of them: mapped onto a topology, with everything that is wrong told at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from hopscope import data
from hopscope.errors import DocumentError
from hopscope.model.document import parse_inventory
from hopscope.model.inventory import Inventory
from hopscope.model.topology import Topology
from hopscope.providers import found

CHAIN = data.topology("chain")
NAMES = [host.name for host in CHAIN.hosts]


def inventory(**more: dict[str, Any]) -> Inventory:
    return Inventory.model_validate({"hosts": {name: {"address": "192.0.2.1", **more.get(name, {})} for name in NAMES}})


def survey(host: str) -> dict[str, Any]:
    """What a host that is as it should be says, with interface names of its own image."""
    interfaces = [{"ifname": "lo", "flags": ["UP"], "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]}]
    for index, port in enumerate(CHAIN.host(host).ports):
        entry = {"ifname": f"ens{5 + index}", "flags": ["UP"], "mtu": 9001, "address": f"06:00:00:00:00:{index:02x}"}
        told = [{"local": str(each.ip), "prefixlen": each.network.prefixlen} for each in port.addresses]
        interfaces.append(entry | {"addr_info": [*told, {"local": "fe80::1", "prefixlen": 64}]})
    return {
        "time_ns": 0,
        "python": "3.9.2",
        "kernel": "6.1",
        "boot_id": host,
        "uid": 0,
        "tools": dict.fromkeys(found.TOOLS, "/usr/bin/x"),
        "libpcap": True,
        "free_bytes": 10 << 30,
        "interfaces": interfaces,
        "clock_error_ns": None,
        "sysctls": {"net.ipv4.ip_forward": "1"},
        "listeners": {},
        "boxes": [],
    }


def surveys() -> dict[str, dict[str, Any]]:
    return copy.deepcopy({name: survey(name) for name in NAMES})


def port(seen: dict[str, dict[str, Any]], host: str, index: int = 1) -> dict[str, Any]:
    entry: dict[str, Any] = seen[host]["interfaces"][index]
    return entry


def ways(topology: Topology) -> dict[tuple[str, str], dict[str, str]]:
    return {(host, to): {"gateway": via, "dev": dev} for host, to, via, dev in found.destinations(topology)}


def test_hosts_that_are_as_they_should_be_have_no_problem() -> None:
    seen = surveys()
    topology, problems = found.mapped(CHAIN, inventory(), seen)
    assert topology is not None
    assert problems == found.unready(CHAIN, seen, dict.fromkeys(NAMES, 0)) == []
    assert found.misrouted(topology, ways(topology)) == []


def test_ports_have_the_hosts_own_names_and_no_declared_delay() -> None:
    topology, _ = found.mapped(CHAIN, inventory(), surveys())
    assert topology is not None
    assert [each.key for each in topology.ports] == [
        *("client:ens5", "clientnic:ens5", "clientnic:ens6", "servernic:ens5", "servernic:ens6", "server:ens5"),
    ]
    assert topology.port("clientnic:ens6").mac == "06:00:00:00:00:01"
    assert {link.mtu for link in topology.links} == {9001}
    assert topology.rtt_ms("client", "server") == 0
    assert [route.via for route in topology.routes()] == [route.via for route in CHAIN.routes()]


def test_a_host_with_an_address_of_its_own_keeps_it() -> None:
    seen = surveys()
    port(seen, "server")["addr_info"][0]["local"] = "10.1.2.77"
    topology, problems = found.mapped(CHAIN, inventory(), seen)
    assert topology is not None
    assert (str(topology.port("server:ens5").address()), problems) == ("10.1.2.77", [])


def test_the_inventory_may_say_which_interface_is_which() -> None:
    seen = surveys()
    port(seen, "client")["addr_info"] = [{"local": "172.16.0.9", "prefixlen": 20}]
    for given in ("ens5", "06:00:00:00:00:00", "06:00:00:00:00:00".upper()):
        topology, problems = found.mapped(CHAIN, inventory(client={"ports": {"eth0": given}}), seen)
        assert topology is not None
        assert (str(topology.port("client:ens5").address()), problems) == ("172.16.0.9", [])


def drop(*keys: str) -> Callable[[dict[str, dict[str, Any]]], None]:
    def spoil(seen: dict[str, dict[str, Any]]) -> None:
        seen["client"]["tools"] |= dict.fromkeys(keys)

    return spoil


def set_to(host: str, **facts: Any) -> Callable[[dict[str, dict[str, Any]]], None]:
    return lambda seen: seen[host].update(facts)


def port_to(host: str, **facts: Any) -> Callable[[dict[str, dict[str, Any]]], None]:
    return lambda seen: port(seen, host).update(facts)


STALE = [{"local": "10.1.0.10", "prefixlen": 24}, {"local": "10.1.0.99", "prefixlen": 24}]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            drop("nft", "tc"),
            "client: it has no tc, nft; remedy: apt-get install -y --no-install-recommends iproute2 nftables",
        ),
        (set_to("client", libpcap=False), "client: it has no libpcap; remedy: apt-get install -y .* tcpdump"),
        (set_to("client", uid=1000), "client: commands run as user 1000; remedy: sudo: true"),
        (set_to("client", python="3.8.10"), r"client: its Python is 3\.8\.10"),
        (set_to("client", free_bytes=5 << 20), "client: 5 MiB are free"),
        (
            set_to("servernic", sysctls={}),
            r"servernic: its kernel does not forward; remedy: sysctl -w net\.ipv4\.ip_forward=1",
        ),
        (
            set_to("server", listeners={"8081": "process 7 (nginx)"}),
            r"server: TCP port 8081 .* taken by process 7 \(nginx\)",
        ),
        (
            set_to("server", boxes=["process 9 (old)"]),
            r"server: a system under test of another session runs: process 9 \(old\)",
        ),
        (port_to("client", flags=[]), "client: ens5 is down; remedy: ip link set dev ens5 up"),
        (
            port_to("client", addr_info=[]),
            r"client: it has no interface in 10\.1\.0\.0/24 \(port eth0\); there are: ens5",
        ),
        (
            port_to("client", addr_info=STALE),
            r"client: ens5 has a stale address beside 10\.1\.0\.10/24: 10\.1\.0\.99/24",
        ),
    ],
)
def test_each_problem_is_told_with_its_remedy(spoil: Callable[[Any], None], words: str) -> None:
    seen = surveys()
    spoil(seen)
    _, problems = found.mapped(CHAIN, inventory(), seen)
    (problem,) = problems + found.unready(CHAIN, seen, dict.fromkeys(NAMES, 0))
    assert re.search(words, str(problem)), str(problem)


def test_a_clock_that_is_off_is_told_by_how_much() -> None:
    (problem,) = found.unready(CHAIN, surveys(), dict.fromkeys(NAMES, 0) | {"client": -2_500_000_000})
    assert "its clock is -2.5 s off" in str(problem)


def test_a_way_back_that_is_missing_is_told_as_one_there() -> None:
    topology, _ = found.mapped(CHAIN, inventory(), surveys())
    assert topology is not None
    seen = ways(topology)
    seen["servernic", "10.1.0.10"] = {"gateway": "10.1.2.254", "dev": "ens6"}
    seen.pop(("client", "10.1.2.10"))
    assert [str(problem) for problem in found.misrouted(topology, seen)] == [
        "client: packets to 10.1.2.10 leave by way of nowhere dev none, not 10.1.0.1 dev ens5; "
        "remedy: ip route replace 10.1.2.10/32 via 10.1.0.1 dev ens5",
        "servernic: packets to 10.1.0.10 leave by way of 10.1.2.254 dev ens6, not 10.1.1.1 dev ens5; "
        "remedy: ip route replace 10.1.0.10/32 via 10.1.1.1 dev ens5",
    ]


def test_where_the_network_has_routers_of_its_own_the_way_may_begin_at_one() -> None:
    topology, _ = found.mapped(CHAIN, inventory(), surveys())
    assert topology is not None
    client = topology.host("client").ports[0]
    seen = ways(topology)
    router = str(client.addresses[0].network[1])
    moved = {"gateway": router, "dev": client.name}
    elsewhere = {"gateway": "10.1.0.254", "dev": client.name}
    for way, problems in ((moved, 0), (elsewhere, 1)):
        told = found.misrouted(topology, seen | {("client", "10.1.2.10"): way}, routed=True)
        assert len(told) == problems


WAN = "clientnic:eth1--servernic:eth0"


def test_a_link_with_a_box_in_the_middle_is_as_declared() -> None:
    hosts = {name: {"address": "192.0.2.1"} for name in [*NAMES, "wan"]}
    given = {"hosts": hosts, "links": {WAN: {"host": "wan", "ports": ["a", "b"]}}}
    with_box = Inventory.model_validate(given)
    topology, problems = found.mapped(CHAIN, with_box, surveys())
    assert topology is not None
    assert (topology.rtt_ms("client", "server"), problems, found.unmatched(CHAIN, with_box)) == (20, [], [])
    del given["hosts"]["wan"]
    given["links"]["wan"] = given["links"].pop(WAN)
    told = [str(problem) for problem in found.unmatched(CHAIN, Inventory.model_validate(given))]
    assert told[0].startswith("wan: it is in the middle of 'wan'; links are client:eth0--clientnic:eth0, ")
    assert told[1] == "wan: the inventory has it in the middle of wan and not among its hosts"


def test_an_inventory_that_does_not_fit_says_where() -> None:
    short = Inventory.model_validate({"hosts": {"client": {"address": "x", "ports": {"eth7": "ens5"}}}})
    told = [str(problem) for problem in found.unmatched(CHAIN, short)]
    assert len(told) == 4
    assert told[-1] == "client: the inventory names a port 'eth7'; the topology has eth0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hosts: {}", "hosts"),
        ("hosts: {client: {adress: x}}", "did you mean 'address'"),
        ("hosts: {client: {address: x, fingerprint: abc}}", "fingerprint"),
        ("hosts: {client: {address: x, max_sessions: 1}}", "max_sessions"),
        ("hosts: {client: {address: x, sudo: yes please}}", "sudo"),
    ],
)
def test_a_document_that_makes_no_sense_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        parse_inventory(text, file="inv.yaml")
    assert str(caught.value).startswith("inv.yaml:1:")
