from __future__ import annotations

import pytest

from hopscope import data
from hopscope.errors import UsageError
from hopscope.lab import plan
from hopscope.model.topology import Host, Impairment, Link, Port, Role, Topology

CHAIN = data.topology("chain")
WAN = CHAIN.wan
MECHANISMS: dict[str, plan.Mechanism] = {link.name: plan.choose(link, plan.Offers(False, True)) for link in CHAIN.links}
LAN = CHAIN.link_between("client", "clientnic")


def test_each_host_and_each_impaired_link_has_a_namespace() -> None:
    assert plan.namespaces(CHAIN) == ["client", "clientnic", "servernic", "server", f"link/{WAN.name}"]
    assert plan.namespaces(CHAIN.with_rtt(0)) == ["client", "clientnic", "servernic", "server"]


def test_the_plan_is_plain_data_with_ports_and_routes() -> None:
    told = plan.build_plan(CHAIN, {"client": 3}, MECHANISMS)
    assert told["namespaces"] == {"client": 3}
    lan, wan, _ = told["links"]
    assert (lan["mechanism"], wan["mechanism"]) == ("veth", "tap-line")
    assert (lan["namespace"], wan["namespace"]) == (None, f"link/{WAN.name}")
    assert lan["a"] == {
        "host": "client",
        "port": "eth0",
        "mac": LAN.a.mac,
        "mtu": 1500,
        "addresses": ["10.1.0.10/24"],
    }
    assert {"host": "client", "destination": "10.1.2.0/24", "via": "10.1.0.1", "port": "eth0"} in told["routes"]


def test_hosts_without_ipv6_have_it_off_and_boxes_forward() -> None:
    assert ("net.ipv4.ip_forward", "1") in plan.host_sysctls(CHAIN.host("clientnic"))
    client = plan.host_sysctls(CHAIN.host("client"))
    assert client[0] == ("net.ipv4.ip_forward", "0"), "first: it resets others"
    assert ("net.ipv6.conf.all.disable_ipv6", "1") in client


def test_hosts_with_ipv6_keep_it_and_forward_it() -> None:
    port = Port(host="box", name="eth0", addresses=("fd00::1/64",))
    values = dict(plan.host_sysctls(Host(name="box", role=Role.ROUTER, ports=(port,))))
    assert values["net.ipv6.conf.all.forwarding"] == "1"
    assert not [key for key in values if "disable_ipv6" in key]


@pytest.mark.parametrize(
    ("impairment", "offers", "forced", "expected"),
    [
        (Impairment(), plan.Offers(netem=True, tun=True), None, "veth"),
        (Impairment(), plan.Offers(netem=True, tun=True), "tap-line", "veth"),
        (Impairment(rtt_ms=20), plan.Offers(netem=True, tun=True), None, "netem"),
        (Impairment(rtt_ms=20), plan.Offers(netem=False, tun=True), None, "tap-line"),
        (Impairment(rtt_ms=20), plan.Offers(netem=False, tun=False), None, "packet-line"),
        (Impairment(rtt_ms=20, reorder=0.1), plan.Offers(netem=True, tun=True), None, "tap-line"),
        (Impairment(loss=0.1), plan.Offers(netem=True, tun=True), "packet-line", "packet-line"),
    ],
)
def test_the_best_mechanism_there_is(
    impairment: Impairment, offers: plan.Offers, forced: plan.Mechanism | None, expected: str
) -> None:
    link = Link(a=LAN.a, b=LAN.b, impairment=impairment)
    assert plan.choose(link, offers, forced) == expected


def test_an_impaired_link_is_never_a_bare_veth() -> None:
    with pytest.raises(UsageError, match="impaired"):
        plan.choose(WAN, plan.Offers(netem=True, tun=True), "veth")


def test_half_of_the_round_trip_goes_each_way() -> None:
    impairment = Impairment(rtt_ms=20.5, loss=0.01, reorder=0.02, reorder_ms=3)
    assert plan.netem_options(impairment) == {"delay": 10250, "limit": plan.NETEM_LIMIT, "loss": 1.0}
    assert plan.netem_options(Impairment(rtt_ms=1)) == {"delay": 500, "limit": plan.NETEM_LIMIT}
    assert plan.line_options(impairment) == {"delay_ms": 10.25, "loss": 0.01, "reorder": 0.02, "reorder_ms": 3}


def test_a_topology_of_two_hosts_needs_no_routes() -> None:
    a = Port(host="a", name="eth0", addresses=("10.0.0.1/24",))
    b = Port(host="b", name="eth0", addresses=("10.0.0.2/24",))
    topology = Topology(
        name="two", hosts=(Host(name="a", ports=(a,)), Host(name="b", ports=(b,))), links=(Link(a=a, b=b),)
    )
    assert plan.build_plan(topology, {}, {topology.links[0].name: "veth"})["routes"] == []
