"""Drift: what has changed since the lab was proven, by name, and what was changed on purpose."""

from __future__ import annotations

import json

import pytest

from hopscope.errors import EnvironmentFault
from hopscope.lab import drift
from hopscope.lab.drift import differences

ROUTE = ("clientnic", "route 10.1.2.0/24")
PROVEN = {ROUTE: "via 10.1.1.2 dev eth1", ("server", "congestion control"): "cubic"}


def test_what_differs_is_told_with_both_values():
    now = {**PROVEN, ROUTE: "via 10.1.1.99 dev eth1"}
    assert differences(PROVEN, now) == {ROUTE: ("via 10.1.1.2 dev eth1", "via 10.1.1.99 dev eth1")}


def test_what_came_and_what_went():
    other = ("client", "route default")
    now = {("server", "congestion control"): "cubic", other: "via 10.1.0.1"}
    assert differences(PROVEN, now) == {other: ("nothing", "via 10.1.0.1"), ROUTE: ("via 10.1.1.2 dev eth1", "nothing")}


def test_a_setting_in_force_is_no_drift():
    assert differences(PROVEN, {**PROVEN, ROUTE: "nothing else"}, frozenset([ROUTE])) == {}


def test_a_parameter_that_a_test_has_set_and_undone_is_no_drift():
    assert differences(PROVEN, {**PROVEN, ("client", "sysctl net.ipv4.tcp_sack"): "1"}) == {}


class Answers:
    """A host that answers each command by its first words."""

    def __init__(self, **answers):
        self._answers = answers

    def run(self, argv, **_more):
        class Result:
            stdout = self._answers.get(argv[0], "").encode()
            text = stdout.decode().strip()

        return Result()


def test_routes_of_all_kinds():
    routes = [
        {"dst": "10.1.0.0/24", "dev": "eth0", "flags": []},
        {"dst": "10.1.2.0/24", "gateway": "10.1.1.2", "dev": "eth1", "flags": ["linkdown"]},
        {"dst": "10.9.0.0/16", "type": "blackhole", "flags": []},
        {"dst": "10.1.0.0/24", "gateway": "10.1.1.9", "flags": []},
    ]
    assert drift._routes(Answers(ip=json.dumps(routes))) == {
        "route 10.1.0.0/24": "dev eth0, via 10.1.1.9",
        "route 10.1.2.0/24": "via 10.1.1.2 dev eth1 linkdown",
        "route 10.9.0.0/16": "blackhole",
    }


def test_sysctls_of_both_spellings():
    lines = (
        "/proc/sys/net/ipv4/ip_forward:1\n/proc/sys/net/ipv6/conf/eth0.1/disable_ipv6:0\n"
        "/proc/sys/net/ipv4/tcp_congestion_control:bbr\n"
    )
    keys = dict.fromkeys(
        ["net.ipv4.ip_forward", "net/ipv6/conf/eth0.1/disable_ipv6", "net.ipv4.tcp_congestion_control"]
    )
    assert drift._sysctls(Answers(grep=lines), keys) == {
        "sysctl net.ipv4.ip_forward": "1",
        "sysctl net/ipv6/conf/eth0.1/disable_ipv6": "0",
        "congestion control": "bbr",
    }


class Lab:
    in_force = frozenset()

    def __init__(self, proven):
        self.proven = proven


def test_the_fault_names_host_setting_and_both_values(monkeypatch):
    monkeypatch.setattr(drift, "look", lambda lab: {**PROVEN, ROUTE: "blackhole"})
    with pytest.raises(EnvironmentFault, match=r"not as it was proven: route 10\.1\.2\.0/24 on clientnic") as caught:
        drift.check(Lab(PROVEN))
    assert caught.value.host == "clientnic"
    assert caught.value.evidence == "clientnic: route 10.1.2.0/24: was via 10.1.1.2 dev eth1, is blackhole"
    drift.check(Lab({}))
