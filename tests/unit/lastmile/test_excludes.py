"""Every cause has an observation that it must reject: with its evidence it is named, with one thing more it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hopscope.lastmile import causes
from hopscope.lastmile.infer import infer
from support.lastmile import ESTAB, PROBES, Broken

Change = Callable[[Broken], None]
SMALL, LARGE, BACK = "left to right small", "left to right large", "right to left small"
LAN = "left-lan to right-lan lan small"
NUMBER = {probe.name: probe.number for probe in PROBES}
ADDRESSES = {
    probe.name: (probe.source_address, probe.address) for probe in PROBES
}  # fmt: skip


def both(*changes: Change) -> Change:
    def change(broken: Broken) -> None:
        for each in changes:
            each(broken)

    return change


def lose(*names: str, after: int, **result: Any) -> Change:
    return lambda broken: broken.lose(*names, after=after, **result)


def traced(host: str, name: str = SMALL, verdict: str = "drop", **more: Any) -> Change:
    src, dst = ADDRESSES[name]
    event = {
        "family": "inet", "table": "t", "chain": "c", "handle": 3, "kind": "rule", "verdict": verdict, "n": 2,
        "packet": f"icmp {src}>{dst} echo", "iif": 4, "oif": 0,
    }  # fmt: skip
    return lambda broken: broken.reports[host]["trace"].append(event | more)


def dropped(host: str, reason: str, name: str = SMALL, **more: Any) -> Change:
    src, dst = ADDRESSES[name]
    record = {
        "reason": reason, "function": "f", "dev": "tun0", "kind": "echo", "probe": NUMBER[name], "n": 2, "src": src,
        "dst": dst,
    }  # fmt: skip
    return lambda broken: broken.reports[host].setdefault("drops", []).append(record | more)


def put(host: str, source: str, value: Any, *whens: str) -> Change:
    def change(broken: Broken) -> None:
        for when in whens or ("before", "after"):
            broken.reports[host][when][source] = value

    return change


def sysctl(host: str, **values: str) -> Change:
    return lambda broken: broken.reports[host]["before"]["sysctl"].update(
        {key.replace("__", "/"): value for key, value in values.items()}
    )


def lookup(host: str, name: str, **answer: Any) -> Change:
    return lambda broken: broken.reports[host]["before"]["lookups"].update({name: answer})


def counter(host: str, name: str, moved: int = 4) -> Change:
    return lambda broken: broken.reports[host]["after"]["snmp"].update({name: moved})


def link(host: str, device: str, **values: Any) -> Change:
    def change(broken: Broken) -> None:
        for when in ("before", "after"):
            next(each for each in broken.reports[host][when]["links"] if each["ifname"] == device).update(values)

    return change


def passed(host: str, device: str, way: str, packets: int) -> Change:
    def change(broken: Broken) -> None:
        listed = broken.reports[host]["after"]["links"]
        next(each for each in listed if each["ifname"] == device)["stats64"][way]["packets"] = packets

    return change


def holders(host: str, state: str | None, *whens: str) -> Change:
    it = [{"pid": 9, "device": "tun0", "state": state, "command": "it", "waits_in": "poll"}] if state else []
    return put(host, "holders", it, *whens)


def ruleset(host: str, *entries: dict[str, Any]) -> Change:
    return put(host, "nft", {"nftables": list(entries)})


def rule(expr: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": 3, "expr": [expr]} | more}


def captured(host: str, **values: Any) -> Change:
    def change(broken: Broken) -> None:
        for record in broken.reports[host]["captured"]:
            record.update(values)

    return change


def arp(host: str, address: str, state: str, lladdr: str | None = None) -> Change:
    entry = {"dst": address, "dev": "eth0", "state": [state], **({"lladdr": lladdr} if lladdr else {})}
    return lambda broken: broken.reports[host]["after"]["neighbours"].append(entry)


INSIDE, BETWEEN = lose(SMALL, after=2), both(lose("tunnel", after=1), lose("lan", after=3))
NETDEV = ruleset("right", {"chain": {"family": "netdev", "table": "n", "name": "c", "hook": "ingress", "dev": "tun0"}})
PROGRAM = put("right", "filters tun0 ingress", [{"pref": 10, "kind": "bpf", "options": {"handle": "0x1"}}])
RULES = [
    {"priority": 0, "src": "all", "table": "local"}, {"priority": 90, "src": "all", "iif": "tun0", "table": "77"},
    {"priority": 32766, "src": "all", "table": "main"},
]  # fmt: skip
MARK = rule({"mangle": {"key": {"payload": {"protocol": "icmp", "field": "checksum"}}, "value": 1}})
SNAT = rule({"snat": {"addr": "10.77.0.1"}})
BLOCK = "src 10.9.0.1/32 dst 10.9.0.2/32 \n\tdir {} action block priority 0 ptype main \n"
LEGACY = "*filter\n:INPUT ACCEPT [0:0]\n[{}:0] -A INPUT -i tun0 -j DROP\nCOMMIT\n"
TBF = {"dev": "tun0", "kind": "tbf", "handle": "1:"}
QUEUE = "ESTAB {} 0 10.8.2.2:7000 10.8.1.1:40000 bytes_sent:{} bytes_acked:9 bytes_received:{} retrans:0/{}"


def sockets(host: str, receive: int = 0, sent: int = 1000, received: int = 1000, retrans: int = 0) -> Change:
    return put(host, "sockets", QUEUE.format(receive, sent, received, retrans), "after")


def underlay_large(broken: Broken) -> None:
    broken.lose("left to right underlay large", "right to left underlay large", after=1)


def expired(ends: float, clock: float, *, up: bool = False) -> Change:
    def change(broken: Broken) -> None:
        for host in ("left", "right"):
            for when in ("before", "after"):
                broken.reports[host][when]["sockets"] = ESTAB.format(1) if up else ""
        broken.reports["left"]["before"]["clock"] = clock
        broken.reports["left"]["probes"]["left to right underlay tls"]["not_after"] = ends

    return change


CASES: dict[str, tuple[Change, Change, Change]] = {
    # cause: the loss, what proves the cause, what it must reject it for
    "daemon-dead": (BETWEEN, holders("left", None, "after"), holders("left", "S", "after")),
    "daemon-stopped": (BETWEEN, holders("right", "T", "after"), holders("right", "R", "after")),
    "daemon-stuck": (BETWEEN, holders("right", "D"), holders("right", "S", "before")),
    "link": (BETWEEN, link("right", "tun0", flags=["POINTOPOINT"]), link("right", "tun0", flags=["UP"])),
    "address": (INSIDE, link("right", "tun0", addr_info=[]),
                link("right", "tun0", addr_info=[{"family": "inet", "local": "10.9.0.2"}])),
    "address-conflict": (
        INSIDE, link("left", "eth1", addr_info=[{"family": "inet", "local": "10.9.0.2"}]),
        link("left", "eth1", addr_info=[{"family": "inet", "local": "10.9.0.77"}])),
    "firewall": (INSIDE, traced("right"), dropped("right", "TC_INGRESS")),
    "netdev": (INSIDE, NETDEV, traced("right", verdict="accept")),
    "legacy": (INSIDE, both(put("right", "legacy iptables filter", LEGACY.format(0), "before"),
                            put("right", "legacy iptables filter", LEGACY.format(4), "after")),
               dropped("right", "IP_RPFILTER")),
    "conntrack-full": (INSIDE, put("right", "conntrack", {"drop": 5}, "after"), put("right", "conntrack", {"drop": 5})),
    "nat": (both(lose(SMALL, after=2), captured("right", src="10.77.0.1")), both(ruleset("left", SNAT),
            traced("left", verdict="accept")), captured("right", src="10.9.0.1")),
    "ttl": (both(lose(LAN, after=4), captured("right", ttl=1)), sysctl("left-lan", net__ipv4__ip_default_ttl="1"),
            dropped("right", "NETFILTER_DROP", LAN)),
    "checksum": (INSIDE, both(ruleset("right", MARK), traced("right", verdict="accept"),
                              counter("right", "IcmpInCsumErrors")), counter("right", "IcmpInCsumErrors", 0)),
    "daemon-corrupts": (INSIDE, dropped("right", "ICMP_CSUM"), both(
        ruleset("left", MARK), traced("left", verdict="accept"))),
    "tc": (INSIDE, PROGRAM, traced("right", verdict="accept")),
    "qdisc": (lose(SMALL, after=0), both(put("left", "qdiscs", [TBF | {"drops": 0}], "before"),
                                         put("left", "qdiscs", [TBF | {"drops": 4}], "after")),
              dropped("left", "TC_EGRESS")),
    "xdp": (lose(SMALL, after=1), link("right", "tun0", xdp={"mode": 2}), dropped("right", "NETFILTER_DROP")),
    "forwarding": (lose(LAN, after=4),
                   sysctl("right", net__ipv4__ip_forward="0", net__ipv4__conf__tun0__forwarding="0"),
                   dropped("right", "NETFILTER_DROP", LAN)),
    "reverse-path": (INSIDE, both(sysctl("right", net__ipv4__conf__tun0__rp_filter="1"),
                     counter("right", "TcpExtIPReversePathFilter")),
                     lookup("right", "peer", dev="eth0", gateway="10.8.2.254")),
    "echo-ignored": (INSIDE, sysctl("right", net__ipv4__icmp_echo_ignore_all="1"), dropped("right", "NETFILTER_DROP")),
    "neighbour": (BETWEEN, arp("left", "10.8.1.254", "FAILED"), put("left", "neighbours", [
        {"dst": "10.8.1.254", "dev": "eth0", "state": ["REACHABLE"], "lladdr": "router-eth0"}], "after")),
    "underlay-route": (BETWEEN, lookup("left", "peer outer", error="Network is unreachable"),
                       lookup("left", "peer outer", dev="eth0", gateway="10.8.1.254")),
    "policy-rule": (lose(LAN, after=4), both(put("right", "rules", RULES), lookup("right", "forward in",
                    error="Network is unreachable")), lookup("right", "forward in", dev="eth1")),
    "route": (INSIDE, lookup("left", "peer", dev="eth0", gateway="10.8.1.254"), lookup("left", "peer", dev="tun0")),
    "xfrm": (lose(SMALL, after=0), put("left", "xfrm", BLOCK.format("out")), put("left", "xfrm", BLOCK.format("fwd"))),
    "mtu": (lose(LARGE, after=1), link("right", "tun0", mtu=1300), lose(SMALL, after=1)),
    "path-mtu": (BETWEEN, both(underlay_large, sockets("right", retrans=3)), sockets("right", retrans=0)),
    "daemon-drops-large": (lose(LARGE, after=1), lambda broken: None, lose(SMALL, after=1)),
    "tls-expired": (BETWEEN, expired(10, 20), expired(10, 20, up=True)),
    "daemon-deaf": (BETWEEN, passed("left", "tun0", "tx", 0), expired(30, 20)),
    "daemon-slow": (BETWEEN, passed("left", "tun0", "tx", 1), passed("left", "tun0", "tx", 1000)),
    "daemon-no-receive": (BETWEEN, sockets("right", receive=4096), sockets("right", receive=0)),
    "daemon-no-send": (BETWEEN, put("left", "sockets", ESTAB.format(0), "after"),
                       put("left", "sockets", ESTAB.format(4000), "after")),
    "daemon-no-deliver": (BETWEEN, passed("right", "tun0", "rx", 0), passed("right", "tun0", "rx", 20)),
    "kernel-drop": (INSIDE, dropped("right", "SOCKET_FILTER"), lambda broken: broken.reports["right"].update(drops=[])),
    "unexplained": (INSIDE, lambda broken: None, traced("right")),
    "elsewhere": (BETWEEN, lambda broken: None, holders("right", "T", "after")),
}  # fmt: skip


def named(*changes: Change) -> list[str]:
    broken = Broken()
    for change in changes:
        change(broken)
    return [each.cause for each in infer(broken.view())]


def test_every_cause_is_in_the_table() -> None:
    assert {cause for module in causes.modules() for cause in module.CAUSES} == set(CASES)


@pytest.mark.parametrize("cause", CASES)
def test_a_cause_is_named_with_its_evidence_and_rejected_for_what_excludes_it(cause: str) -> None:
    loss, evidence, rejects = CASES[cause]
    assert cause in named(loss, evidence)
    assert cause not in named(loss, evidence, rejects)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("firewall", "NETFILTER_DROP"),
        ("tc", "TC_INGRESS"),
        ("netdev", "NETFILTER_DROP"),
        ("forwarding", "IP_INADDRERRORS"),
    ],
)
def test_the_kernels_own_reason_makes_a_cause_proven(cause: str, reason: str) -> None:
    loss, evidence, _ = CASES[cause]
    name = LAN if cause == "forwarding" else SMALL
    broken = Broken()
    for change in (loss, evidence, dropped("right", reason, name)):
        change(broken)
    first = infer(broken.view())[0]
    assert (first.cause, first.confidence) == (cause, "proven")
    assert f"the kernel of right dropped it: {reason} in f, device tun0" in first.evidence


def test_a_reason_that_the_kernel_does_not_tell_excludes_nothing() -> None:
    loss, evidence, _ = CASES["tc"]
    assert "tc" in named(loss, evidence, dropped("right", "NOT_SPECIFIED"))


def errors(name: str, code: int) -> Change:
    def change(broken: Broken) -> None:
        broken.reports["left"]["probes"][name]["errors"] = [{"errno": code, "what": "it was refused"}]

    return change


def narrow(mtu: int) -> Change:
    """All is answered, as the probes' sockets heed no MTU of a route."""
    return put("left", "routes", [{"dst": "10.9.0.2", "dev": "tun0", "metrics": [{"mtu": mtu}]}])


def source(address: str) -> Change:
    """Answers do not come back by the tunnel."""
    answers = lose("tunnel", after=2)
    return both(answers, put("left", "routes", [{"dst": "10.9.0.2", "dev": "tun0", "prefsrc": address}]))


BY_PROTOCOL = [
    {"priority": 60, "src": "all", "dst": "10.9.0.0", "dstlen": 24, "ipproto": "tcp", "table": "66"}, RULES[-1]
]  # fmt: skip
TCP = both(lose("left to right tcp", after=0), put("left", "rules", BY_PROTOCOL), errors("left to right tcp", 113))
TTL = rule({"mangle": {"key": {"payload": {"protocol": "ip", "field": "ttl"}}, "value": 1}})


@pytest.mark.parametrize(
    ("cause", "evidence", "rejects"),
    [
        ("policy-rule", TCP, errors("left to right tcp", 110)),
        ("policy-rule", TCP, put("left", "rules", [BY_PROTOCOL[0] | {"ipproto": "icmp"}, RULES[-1]])),
        ("ttl", both(lose(LAN, after=4), ruleset("right", TTL), traced("right", LAN, "accept"),
                     counter("right", "IpInHdrErrors")), counter("right", "IpInHdrErrors", 0)),
        ("forwarding", both(BETWEEN, sysctl("router", net__ipv4__ip_forward="0"), counter("router", "IpInAddrErrors")),
         counter("router", "IpInAddrErrors", 0)),
        ("neighbour", both(lose(LAN, after=5), link("right", "eth1", flags=["UP", "NOARP"])),
         link("right", "eth1", flags=["UP"])),
        ("nat", both(BETWEEN, expired(30, 20), ruleset("router", rule({"dnat": {"addr": "10.8.1.254"}})),
                     traced("router", verdict="accept", packet="tcp 10.8.1.1:40000>10.8.2.2:7000")),
         expired(30, 20, up=True)),
        ("daemon-deaf", both(BETWEEN, passed("right", "tun0", "tx", 0)), put("right", "sockets", "")),
        ("route", narrow(700), narrow(1400)),
        ("route", source("10.8.1.1"), source("10.9.0.1")),
        ("address", both(INSIDE, link("right", "tun0", addr_info=[
            {"family": "inet", "local": "10.9.0.3", "address": "10.9.0.1"}])),
         link("right", "tun0", addr_info=[{"family": "inet", "local": "10.9.0.2"}])),
    ],
    ids=[
        "by protocol", "of another protocol", "set on arrival", "a router", "switched off", "transport",
        "not connected", "a route held small", "its source", "another",
    ],
)  # fmt: skip
def test_the_same_cause_with_other_evidence(cause: str, evidence: Change, rejects: Change) -> None:
    assert cause in named(evidence)
    assert cause not in named(evidence, rejects)
