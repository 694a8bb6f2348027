"""Settings that repairs are made of: each has a life of read, apply, read back and undo, on hosts of nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope.errors import SettingRefused
from hopscope.lab.settings.address import Address
from hopscope.lab.settings.link_state import LinkState
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.route_mtu import RouteMtu
from support.fakes import fake_host

ADD, REMOVE = ("ip", "rule", "add", "pref", "9"), ("ip", "rule", "del", "pref", "9")


class Rules:
    """``ip rule`` with one rule that may be there."""

    def __init__(self, there: bool, *, obeys: bool = True) -> None:
        self.there, self.obeys, self.asked = there, obeys, list[tuple[str, ...]]()

    def __call__(self, argv: Sequence[str], stdin: bytes | None) -> str:
        if argv[2] in ("add", "del"):
            self.asked.append(tuple(argv))
            self.there = (argv[2] == "add") if self.obeys else self.there
        return "0: local\n9: from all lookup main\n" if self.there else "0: local\n"


@pytest.mark.parametrize(
    ("there", "wanted", "asked"),
    [(False, "there", [ADD, REMOVE]), (True, "there", []), (True, NONE, [REMOVE, ADD]), (False, NONE, [])],
)
def test_what_is_there_or_not_is_changed_only_where_it_differs_and_brought_back(
    tmp_path: Path, there: bool, wanted: str, asked: list[tuple[str, ...]]
) -> None:
    rules = Rules(there)
    executor = fake_host(tmp_path, rules)
    setting = Presence("client", "rule", ("ip", "rule", "show"), "^9: from all", ADD, REMOVE, wanted)
    setting.apply(executor)
    assert setting.verify(executor) == wanted
    setting.undo(executor)
    assert (rules.there, rules.asked) == (there, asked)


def test_what_did_not_take_is_refused_with_both_values(tmp_path: Path) -> None:
    executor = fake_host(tmp_path, Rules(False, obeys=False))
    setting = Presence("client", "rule 9", ("ip", "rule", "show"), "^9:", ADD, REMOVE)
    setting.apply(executor)
    with pytest.raises(SettingRefused, match="rule 9 did not take"):
        setting.verify(executor)


def test_a_rule_is_inserted_once_and_taken_back_by_its_comment_alone(tmp_path: Path) -> None:
    theirs = {"rule": {"handle": 3, "comment": "theirs"}}
    chain = [theirs]
    deleted = []

    def answer(argv: Sequence[str], stdin: bytes | None) -> str:
        if argv[:2] == ["nft", "-f"] or tuple(argv[:2]) == ("nft", "-f"):
            assert stdin == b'insert rule inet fw in accept comment "ours"\n'
            chain.insert(0, {"rule": {"handle": 7, "comment": "ours"}})
        if "delete" in argv:
            deleted.append(argv[-1])
            chain[:] = [each for each in chain if str(each["rule"]["handle"]) != argv[-1]]
        return json.dumps({"nftables": chain})

    executor = fake_host(tmp_path, answer)
    setting = NftRule("client", "inet", "fw", "in", "accept", "ours")
    for _ in range(2):
        setting.apply(executor)
    assert (setting.verify(executor), len(chain)) == ("there", 2)
    setting.undo(executor)
    assert (chain, deleted) == ([theirs], ["7"])


def test_a_device_goes_back_to_the_state_that_it_was_in(tmp_path: Path) -> None:
    world = {"flags": ["BROADCAST"]}

    def answer(argv: Sequence[str], stdin: bytes | None) -> str:
        if "set" in argv:
            world["flags"] = ["BROADCAST", "UP"] if argv[-1] == "up" else ["BROADCAST"]
        return json.dumps([world])

    executor = fake_host(tmp_path, answer)
    setting = LinkState("client", "tun0")
    setting.apply(executor)
    assert setting.verify(executor) == "up"
    setting.undo(executor)
    assert world["flags"] == ["BROADCAST"]


def test_with_its_last_address_a_device_loses_its_routes_and_gets_them_back(tmp_path: Path) -> None:
    world: dict[str, list[str]] = {"addresses": [], "routes": ["10.20.1.0/24 scope link "]}

    def answer(argv: Sequence[str], stdin: bytes | None) -> str:
        if argv[1:3] == ["addr", "add"] or tuple(argv[1:3]) == ("addr", "add"):
            world["addresses"].append(argv[3].partition("/")[0])
        elif tuple(argv[1:3]) == ("addr", "del"):
            world["addresses"].remove(argv[3].partition("/")[0])
            world["routes"] = world["routes"] if world["addresses"] else []
        elif "append" in argv:
            world["routes"].append(" ".join([argv[4], *argv[7:]]) + " ")
        elif "route" in argv:
            return "\n".join(world["routes"])
        return json.dumps([{"addr_info": [{"local": each} for each in world["addresses"]]}])

    executor = fake_host(tmp_path, answer)
    setting = Address("client", "10.9.0.2", "tun0", "10.9.0.1")
    setting.apply(executor)
    assert setting.verify(executor) == "there"
    assert ("ip", "addr", "add", "10.9.0.2", "peer", "10.9.0.1", "dev", "tun0") in executor.commands
    setting.undo(executor)
    assert world == {"addresses": [], "routes": ["10.20.1.0/24 scope link "]}


def test_an_address_alone_has_its_prefix() -> None:
    assert Address("client", "10.9.0.2", "lo", prefix=24).words("del") == [
        "ip",
        "addr",
        "del",
        "10.9.0.2/24",
        "dev",
        "lo",
    ]


def test_a_path_mtu_takes_the_way_that_is_taken_already(tmp_path: Path) -> None:
    metrics: list[dict[str, int]] = []

    def answer(argv: Sequence[str], stdin: bytes | None) -> str:
        if "replace" in argv:
            metrics.append({"mtu": int(argv[-1])})
        if "flush" in argv:
            metrics.clear()
        if "get" in argv:
            return json.dumps([{"gateway": "10.8.1.254", "dev": "eth0"}])
        return json.dumps([{"metrics": metrics}] if metrics else []) if "-json" in argv else ""

    executor = fake_host(tmp_path, answer)
    setting = RouteMtu("client", "10.8.2.2", 1300)
    setting.apply(executor)
    assert setting.verify(executor) == "1300"
    assert "ip route replace 10.8.2.2/32 via 10.8.1.254 dev eth0 mtu 1300" in map(" ".join, executor.commands)
    setting.undo(executor)
    assert setting.read(executor) == "none"


@pytest.mark.parametrize(("plain", "holds"), [(False, True), (True, False)])
def test_a_plain_route_has_neither_source_nor_mtu(tmp_path: Path, plain: bool, holds: bool) -> None:
    listed = [{"dev": "tun0", "prefsrc": "10.8.1.1", "metrics": [{"mtu": 700}]}]
    executor = fake_host(tmp_path, lambda argv, stdin: json.dumps(listed))
    setting = Route("client", "10.9.0.2/32", port="tun0", plain=plain)
    assert (setting.read(executor) == setting.wanted) is holds
    assert setting.read(executor) == ("dev tun0 src 10.8.1.1 mtu 700" if plain else "dev tun0")


def test_several_routes_are_replaced_by_one_and_brought_back_in_their_order(tmp_path: Path) -> None:
    text = "10.9.0.0/16 dev eth0 scope link \n10.9.0.0/16 dev eth1 scope link \n"
    executor = fake_host(tmp_path, lambda argv, stdin: text)
    setting = Route("client", "10.9.0.0/16", via="10.0.0.1")
    setting.apply(executor)
    assert [argv[3] for argv in executor.commands] == ["show", "flush", "replace"]
    setting.undo(executor)
    assert [argv[3] for argv in executor.commands[3:]] == ["flush", "add", "append"]
