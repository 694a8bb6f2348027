from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hopscope import data
from hopscope.aws import guards, quotas, userdata
from hopscope.aws.audit import Actual, Line, Status, after_repair, audit, summary
from hopscope.aws.desired import (
    ANYWHERE,
    EXISTS,
    INTERFACES,
    Request,
    access_subnet,
    facts,
    guest_routes,
    legal,
    of_others,
    rows,
    rules,
    table_key,
    vpc_ranges,
)
from hopscope.aws.fragment import fragment
from hopscope.aws.repair import permission
from hopscope.errors import UsageError
from hopscope.model.document import from_document

CHAIN = legal(data.topology("chain"))
CLIENT, MIDDLE, SERVER = (f"table 10.1.{n}.0/24" for n in range(3))


def request(hours: float = 1, **given: object) -> Request:
    return Request("run", "me", datetime.now(UTC) + timedelta(hours=hours), **given)  # type: ignore[arg-type]


def test_every_row_goes_to_the_interface_that_faces_its_subnet_in_both_directions() -> None:
    """The rows that people get wrong: the middle subnet's way to the server begins at ServerNIC's middle side, and it
    has a row back."""
    assert {place: port.key for place, port in rows(CHAIN).items()} == {
        (CLIENT, "10.1.1.0/24"): "clientnic:eth0",
        (CLIENT, "10.1.2.0/24"): "clientnic:eth0",
        (MIDDLE, "10.1.2.0/24"): "servernic:eth0",
        (MIDDLE, "10.1.0.0/24"): "clientnic:eth1",
        (SERVER, "10.1.0.0/24"): "servernic:eth1",
        (SERVER, "10.1.1.0/24"): "servernic:eth1",
    }


def test_addresses_that_aws_keeps_for_itself_are_moved() -> None:
    addresses = {port.key: str(port.address(4)) for port in CHAIN.ports}
    assert addresses == {
        "client:eth0": "10.1.0.10",
        "clientnic:eth0": "10.1.0.5",
        "clientnic:eth1": "10.1.1.5",
        "servernic:eth0": "10.1.1.6",
        "servernic:eth1": "10.1.2.5",
        "server:eth0": "10.1.2.10",
    }
    assert legal(CHAIN) == CHAIN
    assert all(str(route.via) in addresses.values() for route in CHAIN.routes())


def test_two_moved_addresses_do_not_meet() -> None:
    document = data.topology("chain").document()
    document["links"][0]["addresses"] = [["10.1.0.5"], ["10.1.0.1"]]
    moved = legal(from_document(document))
    assert [str(port.address(4)) for port in moved.links[0].ports] == ["10.1.0.5", "10.1.0.9"]


def test_the_three_rules_and_their_permissions() -> None:
    assert rules(CHAIN) == {
        "rule service": "tcp 8080-8083 from 10.1.0.0/22",
        "rule icmp": "icmp all from 10.1.0.0/22",
        "rule members": "all all from group",
    }
    assert permission("icmp all from 10.1.0.0/22", "sg-1") == {
        "IpProtocol": "icmp",
        "FromPort": -1,
        "ToPort": -1,
        "IpRanges": [{"CidrIp": "10.1.0.0/22"}],
    }
    assert permission("all all from group", "sg-1") == {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}


def test_a_topology_that_no_vpc_can_be_is_refused() -> None:
    document = data.topology("chain").document()
    document["links"][0] |= {"subnets": ["192.168.0.0/24"], "addresses": [["192.168.0.10"], ["192.168.0.5"]]}
    with pytest.raises(UsageError, match="in no common /16"):
        vpc_ranges(from_document(document))


def test_subnets_that_are_far_apart_are_ranges_of_one_vpc_each_with_its_rules() -> None:
    routed = legal(data.topology("tunnel-routed"))
    assert list(map(str, vpc_ranges(routed))) == ["10.20.0.0/22", "10.8.0.0/22"]
    assert set(rules(routed)) == {
        "rule service", "rule icmp", "rule service 10.8.0.0/22", "rule icmp 10.8.0.0/22", "rule members",
    }  # fmt: skip
    assert ("vpc", "range 10.8.0.0/22") in {(fact.key, fact.aspect) for fact in facts(routed, request())}


@pytest.mark.parametrize(
    ("name", "subnet", "vpc"),
    [("chain", "10.1.3.0/28", "10.1.0.0/22"), ("tunnel", "10.8.1.0/28", "10.8.0.0/23")],
    ids=["room", "no room"],
)
def test_endpoints_are_in_a_subnet_that_no_box_is_on_the_way_to(name: str, subnet: str, vpc: str) -> None:
    topology = legal(data.topology(name))
    assert str(access_subnet(topology)) == subnet
    wanted = {(fact.key, fact.aspect): fact.wanted for fact in facts(topology, request(access="endpoints"))}
    assert wanted["vpc", EXISTS] == vpc
    assert {wanted[f"endpoint {service}", "subnet"] for service in INTERFACES} == {f"subnet {subnet}"}
    assert wanted["endpoint s3", "tables"] == ", ".join(sorted(map(table_key, topology.links)))
    assert not [key for key, aspect in wanted if key.startswith(("address", "gateway")) or ANYWHERE in aspect]


def test_boxes_alone_forward_and_are_told_so_with_their_ways() -> None:
    off = {fact.key for fact in facts(CHAIN, request()) if fact.aspect == "source/dest check"}
    assert off == {f"eni {nic}:eth{n}" for nic in ("clientnic", "servernic") for n in (0, 1)}
    assert guest_routes(CHAIN, "client") == []
    assert guest_routes(CHAIN, "clientnic") == [("10.1.2.0/24", "10.1.1.0/24", "10.1.1.1")]


def test_an_instance_ends_by_itself_whatever_else_fails() -> None:
    lines = userdata.script(61, forwards=True, routes=guest_routes(CHAIN, "clientnic")).splitlines()
    assert lines[:2] == ["#!/bin/sh", "shutdown -h +61 'the time of this run is over'"]
    assert "sysctl -p /etc/sysctl.d/90-hopscope.conf" in lines
    assert lines[-1].startswith("ip route replace 10.1.2.0/24 via 10.1.1.1 dev $(ip -o -4 addr show to 10.1.1.0/24 |")


def test_every_fact_has_an_effect_and_a_place_of_its_own() -> None:
    every = facts(CHAIN, request())
    assert len({fact.place for fact in every}) == len(every)
    assert all(fact.effect for fact in every)
    assert not {fact.kind for fact in of_others(every)} & {"role", "profile", "bucket", "address", "gateway"}


def test_an_audit_tells_ok_drift_manual_unknown_and_fixed_apart() -> None:
    every = facts(CHAIN, request())
    right = Actual(seen={(fact.key, fact.aspect): fact.wanted for fact in every})
    assert {line.status for line in audit(every, right)} == {Status.OK}
    spoilt = dict(right.seen) | {("instance client", EXISTS): "t2.nano", ("group", "rule icmp"): "icmp 8-8 from x"}
    del spoilt[MIDDLE, "route 10.1.2.0/24"]
    seen = replace(right, seen=spoilt, unknown={"eni": "not allowed"})
    lines = {line.key + line.aspect: line for line in audit(every, seen)}
    assert lines["instance client" + EXISTS].status is Status.MANUAL
    assert lines["grouprule icmp"].status is Status.DRIFT
    assert lines["eni client:eth0groups"].status is Status.UNKNOWN
    row = lines[f"{MIDDLE}route 10.1.2.0/24"]
    assert str(row) == (
        f"DRIFT   {MIDDLE}: route 10.1.2.0/24 is missing, should be eni servernic:eth0; effect: traffic goes past "
        "servernic and nothing is tested"
    )
    fixed = after_repair(lines.values(), audit(every, right))
    assert summary(fixed).endswith(" FIXED")
    assert {line.status for line in fixed if line.key.startswith("table")} == {Status.OK, Status.FIXED}


def test_what_makes_a_repair_permanent() -> None:
    ids = {MIDDLE: "rtb-1", "eni servernic:eth0": "eni-1", "group": "sg-1", "subnet 10.1.1.0/24": "subnet-1"}
    lines = [
        Line(Status.DRIFT, MIDDLE, "route 10.1.2.0/24", "eni servernic:eth0", "missing", "x"),
        Line(Status.FIXED, "group", "rule members", "all all from group", "all all from group", "x"),
        Line(Status.DRIFT, MIDDLE, "subnet", "subnet 10.1.1.0/24", "missing", "x"),
        Line(Status.DRIFT, "eni servernic:eth0", "source/dest check", "off", "on", "x"),
        Line(Status.DRIFT, "vpc", "exists", "10.1.0.0/22", "missing", "what no template of ours can hold"),
        Line(Status.OK, "group", "rule icmp", "icmp all from 10.1.0.0/22", "icmp all from 10.1.0.0/22", "x"),
    ]
    seen = {("eni servernic:eth0", "exists"): "10.1.1.6 in subnet 10.1.1.0/24"}
    resources = fragment(lines, Actual(ids=ids, seen=seen))["Resources"]
    assert resources == {
        "Table1011024Route1012024": {
            "Type": "AWS::EC2::Route",
            "Properties": {
                "RouteTableId": "rtb-1",
                "DestinationCidrBlock": "10.1.2.0/24",
                "NetworkInterfaceId": "eni-1",
            },
        },
        "GroupRuleMembers": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {"GroupId": "sg-1", "IpProtocol": "-1", "SourceSecurityGroupId": "sg-1"},
        },
        "EniServernicEth0SourceDestCheck": {
            "Type": "AWS::EC2::NetworkInterface",
            "Properties": {"SubnetId": "subnet-1", "SourceDestCheck": False},
            "Metadata": {"Replaces": "eni-1"},
        },
        "Table1011024Subnet": {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"RouteTableId": "rtb-1", "SubnetId": "subnet-1"},
        },
    }


@pytest.mark.parametrize(
    ("given", "hours", "limit", "words"),
    [
        ({"instance_type": "p5.48xlarge"}, 1, 2.0, "not on the list"),
        ({"instance_type": "c6i.larg"}, 1, 2.0, "did you mean 'c6i.large'"),
        ({"types": {"server": "address"}}, 1, 2.0, "not on the list"),
        ({}, 23, 2.0, "would cost up to"),
        ({}, 25, 200.0, "up to 24 h"),
    ],
)
def test_a_run_that_could_cost_more_than_meant_is_not_begun(given, hours: float, limit: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        guards.check(CHAIN, request(hours, **given), limit)


def test_the_estimate_is_the_sum_of_its_parts() -> None:
    assert guards.check(CHAIN, request(1)) == pytest.approx(4 * (0.097 + 0.005 + 0.0011), rel=0.01)


def test_what_is_needed_of_an_account_is_what_is_not_there_yet() -> None:
    of_nothing = quotas.needs(CHAIN, request(types={"server": "c6i.xlarge"}), Actual())
    assert of_nothing == {"vpcs": 1, "endpoints": 0, "gateways": 1, "addresses": 4, "vcpus": 10}
    half = Actual(ids={"vpc": "vpc-1", "instance client": "i-1", "address client": "eip-1"})
    assert quotas.needs(CHAIN, request(), half) == {
        "vpcs": 0,
        "endpoints": 0,
        "gateways": 1,
        "addresses": 3,
        "vcpus": 6,
    }


@pytest.mark.parametrize(("limit", "short"), [(None, False), (9, False), (8, True)])
def test_a_quota_is_short_where_its_limit_is_known(limit: int | None, short: bool) -> None:
    quota = quotas.Quota("VPCs", "vpc", "L-1", used=5, needed=4, limit=limit, why="not allowed")
    assert quota.short is short
    assert ("ask for more" in str(quota)) is short


def test_every_type_with_a_price_has_its_number_of_processors() -> None:
    types = [name for name in guards.prices() if "." in name]
    assert {quotas.vcpus(name) for name in types} == {2, 4}
    with pytest.raises(UsageError, match="sizes are"):
        quotas.vcpus("p5.48xlarge")
