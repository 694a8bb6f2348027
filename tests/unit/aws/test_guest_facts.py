from __future__ import annotations

import copy
from ipaddress import IPv4Interface
from typing import Any

import pytest

from hopscope import data
from hopscope.aws import guest_facts
from hopscope.aws.audit import Actual, Status, audit
from hopscope.aws.desired import legal, with_ports
from hopscope.lab.looked import TOOLS, Look

CHAIN = legal(data.topology("chain"))
CHAIN = with_ports(
    CHAIN, {port.key: port.model_copy(update={"mac": f"02:00:00:00:00:{n:02x}"}) for n, port in enumerate(CHAIN.ports)}
)
HOST = "clientnic"
NAMES = {"eth0": "ens5", "eth1": "ens6"}
"""Names of interfaces differ per image."""


def survey() -> dict[str, Any]:
    interfaces = [
        {
            "ifname": NAMES[port.name],
            "address": port.mac,
            "mtu": 9001,
            "flags": ["UP"],
            "addr_info": [{"family": "inet", "local": str(port.address(4)), "prefixlen": 24}],
        }
        for port in CHAIN.host(HOST).ports
    ]
    return {
        "tools": dict.fromkeys(TOOLS, "/usr/sbin/x"),
        "sysctls": {"net.ipv4.ip_forward": "1"},
        "interfaces": [{"ifname": "lo"}, *interfaces],
    }


def told(via: str = "10.1.1.6") -> dict[str, dict[str, str]]:
    return {address: {"gateway": via, "dev": "ens6"} for address in ("10.1.2.5", "10.1.2.10")}


def drift(survey: dict[str, Any], ways: dict[str, dict[str, str]], ahead: float = 0.0) -> dict[str, str]:
    """What is wrong on one host, by aspect."""
    facts = [fact for fact in guest_facts.facts(CHAIN, 9001) if fact.key == f"guest {HOST}"]
    lines = audit(facts, Actual(seen=guest_facts.seen(CHAIN, HOST, survey, ways, ahead)))
    return {line.aspect: line.seen for line in lines if line.status is not Status.OK}


@pytest.mark.parametrize("via", ["10.1.1.6", "10.1.1.1"])
def test_packets_go_to_the_neighbour_or_to_the_router_of_the_vpc(via: str) -> None:
    assert drift(survey(), told(via)) == {}


def spoil(where: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(survey())
    if where in changed["interfaces"][1]:
        changed["interfaces"][1][where] = value
    else:
        changed[where] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "aspect", "seen"),
    [
        (spoil("tools", dict.fromkeys(TOOLS, "x") | {"nft": None}), "tools", "without nft"),
        (spoil("sysctls", {}), "forwarding", "off"),
        (spoil("flags", []), "link eth0", "down"),
        (spoil("mtu", 1500), "mtu eth0", "1500"),
        (spoil("addr_info", []), "address eth0", "none"),
    ],
)
def test_what_differs_is_seen_by_its_name(changed: dict[str, Any], aspect: str, seen: str) -> None:
    assert drift(changed, told()) == {aspect: seen}


def test_one_address_of_a_subnet_by_another_way_is_enough() -> None:
    ways = told() | {"10.1.2.10": {"dev": "ens5"}}
    assert drift(survey(), ways) == {"way to 10.1.2.0/24": "its own link by eth0"}
    assert drift(survey(), told() | {"10.1.2.5": {}}) == {"way to 10.1.2.0/24": "nowhere by nothing"}


@pytest.mark.parametrize(("ahead", "seen"), [(0.9, None), (1.5, "+2 s off"), (-61.0, "-61 s off")])
def test_a_clock_may_be_a_second_off(ahead: float, seen: str | None) -> None:
    assert drift(survey(), told(), ahead).get("clock") == seen


@pytest.mark.parametrize(
    ("at", "ahead"), [(100, 0), (250, 0), (400, 0), (90, -10), (450, 50)], ids=lambda value: str(value)
)
def test_how_long_asking_took_is_no_error_of_a_clock(at: int, ahead: int) -> None:
    assert Look({"time_ns": at}, 100, 400).surely_ahead_ns == ahead


@pytest.mark.parametrize(
    ("aspect", "words"),
    [
        ("clock", ["chronyc", "makestep"]),
        ("forwarding", ["net.ipv4.ip_forward=1"]),
        ("link eth1", ["dev", "ens6", "up"]),
        ("mtu eth0", ["dev", "ens5", "mtu", "9001"]),
        ("way to 10.1.2.0/24", ["10.1.2.0/24", "10.1.1.6", "ens6"]),
        ("address eth0", ["ens5", "10.1.0.5/24", "10.1.0.77/24"]),
        ("tools", None),
    ],
)
def test_what_mends_it_is_said_to_the_interface_by_its_own_name(aspect: str, words: list[str] | None) -> None:
    changed = survey()
    changed["interfaces"][1]["addr_info"].append({"family": "inet", "local": "10.1.0.77", "prefixlen": 24})
    fact = next(f for f in guest_facts.facts(CHAIN, 9001) if f.key == f"guest {HOST}" and f.aspect == aspect)
    argv = guest_facts.remedy(CHAIN, fact, changed)
    if words is None:
        assert argv is None
        assert "dnf install" in guest_facts.by_hand(fact)
    else:
        assert argv is not None
        assert argv[-len(words) :] == words


def test_an_interface_that_is_not_there_is_left_to_a_person() -> None:
    changed = survey()
    del changed["interfaces"][1]
    assert set(drift(changed, told())) == {"link eth0", "address eth0", "mtu eth0"}
    fact = next(f for f in guest_facts.facts(CHAIN, 9001) if f.place == f"guest {HOST}: link eth0")
    assert guest_facts.remedy(CHAIN, fact, changed) is None
    assert "attach the interface" in guest_facts.by_hand(fact)


def test_the_mtu_of_all_is_the_largest_of_any() -> None:
    assert guest_facts.common_mtu(CHAIN, {HOST: spoil("mtu", 1500)}) == 9001
    assert guest_facts.common_mtu(CHAIN, {}) == 0


def test_addresses_are_those_of_the_interfaces() -> None:
    assert guest_facts.own(CHAIN.host(HOST).ports[0]) == IPv4Interface("10.1.0.5/24")
