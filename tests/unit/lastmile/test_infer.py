"""Causes from stored evidence: each is named with it, and is not without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hopscope.lastmile.infer import areas, infer
from support.lastmile import ESTAB, Broken

SMALL = "left to right small"
DROP = {
    "family": "inet", "table": "fw", "chain": "in", "handle": 3, "kind": "rule", "verdict": "drop", "n": 2,
    "packet": "icmp 10.9.0.1>10.9.0.2 echo", "iif": 4, "oif": 0,
}  # fmt: skip


def inside_right(broken: Broken) -> None:
    broken.lose(SMALL, after=2)


def between(broken: Broken) -> None:
    broken.lose("tunnel", after=1)
    broken.lose("lan", after=3)


def firewall(broken: Broken) -> None:
    broken.reports["right"]["trace"].append(DROP)


def echo(broken: Broken) -> None:
    broken.reports["right"]["before"]["sysctl"]["net/ipv4/icmp_echo_ignore_all"] = "1"


def stopped(broken: Broken) -> None:
    broken.reports["right"]["after"]["holders"][0]["state"] = "T"


def dead(broken: Broken) -> None:
    broken.reports["left"]["after"]["holders"] = []


def down(broken: Broken) -> None:
    for when in ("before", "after"):
        broken.reports["right"][when]["links"][-1]["flags"] = ["POINTOPOINT"]


def deaf(broken: Broken) -> None:
    broken.reports["left"]["after"]["links"][-1]["stats64"]["tx"]["packets"] = 0


def unread(broken: Broken) -> None:
    broken.reports["right"]["after"]["sockets"] = ESTAB.format(1000).replace("ESTAB 0", "ESTAB 4096", 1)


def undelivered(broken: Broken) -> None:
    broken.reports["right"]["after"]["links"][-1]["stats64"]["rx"]["packets"] = 0


def wrong_route(broken: Broken) -> None:
    broken.reports["left"]["before"]["lookups"]["peer"] = {"dev": "eth0", "gateway": "10.8.1.254"}


def no_address(broken: Broken) -> None:
    for when in ("before", "after"):
        broken.reports["right"][when]["links"][-1]["addr_info"] = []


def stale_neighbour(broken: Broken) -> None:
    entry = {"dst": "10.8.1.254", "dev": "eth0", "lladdr": "02:99", "state": ["PERMANENT"]}
    broken.reports["left"]["after"]["neighbours"].append(entry)


CASES = [
    (inside_right, firewall, "firewall", "right"),
    (inside_right, echo, "echo-ignored", "right"),
    (inside_right, no_address, "address", "right"),
    (inside_right, wrong_route, "route", "left"),
    (between, stopped, "daemon-stopped", "right"),
    (between, dead, "daemon-dead", "left"),
    (between, down, "link", "right"),
    (between, deaf, "daemon-deaf", "left"),
    (between, unread, "daemon-no-receive", "right"),
    (between, undelivered, "daemon-no-deliver", "right"),
    (between, stale_neighbour, "neighbour", "left"),
]


def test_a_tunnel_that_carries_has_no_finding() -> None:
    assert infer(Broken().view()) == []


@pytest.mark.parametrize(("loss", "evidence", "cause", "host"), CASES, ids=[case[2] for case in CASES])
def test_evidence_names_its_cause(
    loss: Callable[[Broken], None], evidence: Callable[[Broken], None], cause: str, host: str
) -> None:
    broken = Broken()
    loss(broken)
    without = [(each.cause, each.host) for each in infer(broken.view())]
    assert cause not in [name for name, _ in without]
    evidence(broken)
    findings = infer(broken.view())
    assert (findings[0].cause, findings[0].host) == (cause, host)
    assert findings[0].evidence


@pytest.mark.parametrize(("loss", "evidence", "cause", "host"), CASES, ids=[case[2] for case in CASES])
def test_without_a_loss_the_same_state_is_no_finding(
    loss: Callable[[Broken], None], evidence: Callable[[Broken], None], cause: str, host: str
) -> None:
    broken = Broken()
    evidence(broken)
    assert infer(broken.view()) == []


@pytest.mark.parametrize(
    "change",
    [{"verdict": "accept"}, {"packet": "icmp 10.9.0.7>10.9.0.2 echo"}, {"packet": "tcp 10.9.0.1:1>10.9.0.2:5998"}],
    ids=["accepted", "another source", "another protocol"],
)
def test_a_verdict_on_other_packets_explains_nothing(change: dict[str, str]) -> None:
    broken = Broken()
    inside_right(broken)
    broken.reports["right"]["trace"].append(DROP | change)
    assert infer(broken.view())[0].cause == "unexplained"


def test_two_causes_are_both_told() -> None:
    broken = Broken()
    broken.lose(SMALL, after=2)
    broken.lose("right to left small", after=2)
    firewall(broken)
    broken.reports["left"]["before"]["sysctl"]["net/ipv4/icmp_echo_ignore_all"] = "1"
    told = {(each.cause, each.host) for each in infer(broken.view())}
    assert told == {("firewall", "right"), ("echo-ignored", "left")}


def test_what_nobody_saw_is_lost_elsewhere() -> None:
    broken = Broken()
    between(broken)
    assert {each.cause for each in infer(broken.view())} == {"elsewhere"}


def test_the_repair_is_for_the_tunnel_alone() -> None:
    broken = Broken()
    inside_right(broken)
    firewall(broken)
    (setting,) = infer(broken.view())[0].settings
    assert setting.name == 'nft insert inet fw in: iifname "tun0" ip saddr 10.9.0.1 ip daddr 10.9.0.2 accept'


def test_every_area_has_a_line() -> None:
    broken = Broken()
    inside_right(broken)
    firewall(broken)
    broken.reports["left"]["missing"]["qdiscs"] = "tc is not there"
    view = broken.view()
    told = areas(view, infer(view))
    assert told["firewall"].startswith("finding: right")
    assert told["other filters"] == "not seen: left: qdiscs: tc is not there"
    assert [told[each] for each in ("routes", "kernel parameters", "captures", "MTU")] == ["clean"] * 4
