"""A stack on moto's control plane: built, damaged in every way that is known, found out, repaired, and taken down.

moto forgives what AWS refuses, so what AWS would refuse is put in by hand (``refusing``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from hopscope.aws import quotas, takedown
from hopscope.aws.actual import access_of
from hopscope.aws.audit import Line, Status
from hopscope.aws.cloud import SERVICES, Cloud, connect
from hopscope.aws.desired import ADDRESSES, ENDPOINTS, TAG
from hopscope.aws.doubles.control import Control
from hopscope.aws.fragment import fragment
from hopscope.aws.repair import Stack
from hopscope.errors import EnvironmentFault, UsageError
from support import cloud as support
from support.stacks import CHAIN, RUN, everything, refusing, stack_of
from support.vandal import CLIENT, OF_ENDPOINTS, SABOTAGES, SERVER, Sabotage, Vandal

pytestmark = [pytest.mark.integration, pytest.mark.lab_uncaptured]


@pytest.fixture(scope="module")
def control() -> Iterator[Control]:
    server = Control()
    yield server
    server.close()


@pytest.fixture(scope="module")
def cloud(control: Control) -> Iterator[Cloud]:
    with support.no_cloud():
        yield connect(support.REGION, pace=support.PACE, endpoints=dict.fromkeys(SERVICES, control.url))


@pytest.fixture(scope="module")
def stack(cloud: Cloud) -> Stack:
    stack = stack_of(cloud)
    stack.build()
    return stack


def wrong(lines: tuple[Line, ...]) -> list[Line]:
    return [line for line in lines if line.status is not Status.OK]


def test_what_was_just_built_is_as_it_should_be(stack: Stack) -> None:
    assert wrong(stack.audit()) == []
    assert stack.repair() == stack.audit()


def found_and_repaired(stack: Stack, *names: str, of: Mapping[str, Sabotage] = SABOTAGES) -> None:
    vandal = Vandal(stack)
    for name in names:
        of[name][0](vandal)
    found = {f"{line.key}: {line.aspect}": line for line in wrong(stack.audit())}
    for name in names:
        _, place, effect = of[name]
        assert found[place].status is Status.DRIFT, name
        assert effect in found[place].effect
    told = stack.repair()
    assert [str(line) for line in wrong(told) if line.status is not Status.FIXED] == []
    fixed = {f"{line.key}: {line.aspect}" for line in told if line.status is Status.FIXED}
    assert fixed == set(found), "all that was found, and nothing else"


def rounds() -> list[list[str]]:
    """The sabotages, as many at a time as are at places of their own."""
    done: list[dict[str, str]] = []
    for name, (_, place, _) in SABOTAGES.items():
        group = next((each for each in done if place not in each), None)
        if group is None:
            done.append(group := {})
        group[place] = name
    return [list(group.values()) for group in done]


@pytest.mark.parametrize("number", range(len(rounds())))
def test_sabotages_are_all_found_with_their_effects_and_repaired(stack: Stack, number: int) -> None:
    assert len(SABOTAGES) >= 24
    found_and_repaired(stack, *rounds()[number])


@pytest.mark.nightly
@pytest.mark.parametrize("name", SABOTAGES)
def test_a_sabotage_by_itself_shows_in_its_line(stack: Stack, name: str) -> None:
    found_and_repaired(stack, name)


def test_a_stack_without_a_way_out_has_endpoints_which_are_audited_and_repaired_like_the_rest(cloud: Cloud) -> None:
    private = stack_of(cloud, "chain-private", access=ENDPOINTS)
    private.build()
    assert access_of(cloud, "chain-private") == ENDPOINTS
    with pytest.raises(UsageError, match="was built with endpoints, and not with addresses"):
        access_of(cloud, "chain-private", ADDRESSES)
    assert wrong(private.audit()) == []
    assert cloud.listed("describe_internet_gateways", run="chain-private") == []
    assert cloud.listed("describe_addresses", run="chain-private") == []
    found_and_repaired(private, *OF_ENDPOINTS, of=OF_ENDPOINTS)
    takedown.take_down(cloud, "chain-private")
    assert "chain-private" not in takedown.runs(cloud)


def test_what_cannot_be_changed_is_left_to_a_person(stack: Stack, cloud: Cloud) -> None:
    instance = stack.look().ids["instance client"]
    cloud.clients["ec2"].stop_instances(InstanceIds=[instance])
    cloud.clients["ec2"].modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t2.nano"})
    told = {f"{line.key}: {line.aspect}": line for line in stack.repair()}
    line = told["instance client: exists"]
    assert (line.status, line.seen) == (Status.MANUAL, "t2.nano")
    assert "end the instance, and call repair" in line.remedy
    assert told["instance client: state"].status is Status.FIXED
    cloud.clients["ec2"].terminate_instances(InstanceIds=[instance])
    stack.build()


def test_what_may_not_be_looked_at_is_unknown_and_not_missing(stack: Stack, cloud: Cloud) -> None:
    with refusing(cloud, "ec2", "DescribeRouteTables", "UnauthorizedOperation"):
        lines = stack.audit()
    assert {line.status for line in lines if line.key.startswith("table")} == {Status.UNKNOWN}
    assert wrong([line for line in lines if not line.key.startswith("table")]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "InvalidSubnetID.NotFound"])
def test_throttling_and_late_knowledge_are_waited_out(cloud: Cloud, stack: Stack, code: str) -> None:
    Vandal(stack).no_row(CLIENT, SERVER)
    with refusing(cloud, "ec2", "CreateRoute", code) as seen:
        stack.repair()
    assert seen == [code]
    assert wrong(stack.audit()) == []


def test_nothing_without_our_tag_is_changed(cloud: Cloud, stack: Stack) -> None:
    """Somebody has taken the table for their own: it is found, and left alone."""
    vandal = Vandal(stack)
    table = vandal.ids[f"table {CLIENT}"]
    vandal.no_row(CLIENT, SERVER)
    run = [{"Key": f"{TAG}run", "Value": "theirs"}]
    cloud.clients["ec2"].create_tags(Resources=[table], Tags=run)
    try:
        with pytest.raises(EnvironmentFault, match="is not of run chain-1a2b3c4d by its tag: it is not changed"):
            stack.repair()
    finally:
        cloud.clients["ec2"].create_tags(Resources=[table], Tags=[{"Key": f"{TAG}run", "Value": RUN}])
    stack.build()


def test_a_stack_made_elsewhere_is_known_by_its_place_and_repaired_when_adopted(cloud: Cloud, stack: Stack) -> None:
    """The same VPC as one that nobody has tagged: every tag is taken off it for as long as this lasts."""
    ids = stack.look().ids
    of_ec2 = [identity for key, identity in ids.items() if key.partition(" ")[0] not in ("role", "profile", "bucket")]
    kept = cloud.clients["ec2"].describe_tags(Filters=[{"Name": "resource-id", "Values": of_ec2}])["Tags"]
    cloud.clients["ec2"].delete_tags(Resources=of_ec2)
    try:
        adopted = stack_of(cloud, "adopted", vpc=ids["vpc"])
        assert wrong(adopted.audit()) == []
        vandal = Vandal(stack)
        vandal.ids, vandal.group = ids, ids["group"]
        spoilt = [SABOTAGES[name] for name in ("middle row gone", "icmp rule gone")]
        for spoil, _, _ in spoilt:
            spoil(vandal)
        found = {f"{line.key}: {line.aspect}": line for line in wrong(adopted.audit())}
        assert set(found) == {place for _, place, _ in spoilt}
        assert all(effect in found[place].effect for _, place, effect in spoilt)
        kinds = [each["Type"] for each in fragment(found.values(), adopted.look())["Resources"].values()]
        assert sorted(kinds) == ["AWS::EC2::Route", "AWS::EC2::SecurityGroupIngress"]
        assert {line.status for line in wrong(adopted.repair())} == {Status.FIXED}
    finally:
        for tag in kept:
            cloud.clients["ec2"].create_tags(
                Resources=[tag["ResourceId"]], Tags=[{"Key": tag["Key"], "Value": tag["Value"]}]
            )
    assert wrong(stack.audit()) == []


def test_without_room_in_the_account_nothing_is_made(cloud: Cloud) -> None:
    """Five VPCs, as moto allows them; its other limits it does not know."""
    ec2 = cloud.clients["ec2"]
    there = len(cloud.listed("describe_vpcs"))
    made = [ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"] for _ in range(5 - there)]
    wanted = stack_of(cloud, "chain-many")
    try:
        with pytest.raises(
            EnvironmentFault, match="no room for chain-many in eu-central-1: nothing was made"
        ) as caught:
            quotas.check(cloud, CHAIN, wanted.request, wanted.look())
    finally:
        for vpc in made:
            ec2.delete_vpc(VpcId=vpc)
    assert (caught.value.evidence or "").splitlines() == [
        "VPCs: 1 needed, 5 of 5 in use; ask for more: Service Quotas, vpc L-F678F1CE"
    ]
    room = {quota.name: quota for quota in quotas.check(cloud, CHAIN, wanted.request, wanted.look())}
    assert (room["VPCs"].needed, room["VPCs"].limit) == (1, 5)
    assert "4 needed" in str(room["elastic addresses"])
    assert "limit not known" in str(room["vCPUs of standard instances"])


def test_the_end_leaves_nothing_that_was_tagged_and_everything_that_was_not(cloud: Cloud, stack: Stack) -> None:
    ec2 = cloud.clients["ec2"]
    theirs = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    bystander = stack_of(cloud, "chain-other")
    with refusing(cloud, "ec2", "CreateNetworkInterface", "ExpiredToken"), pytest.raises(EnvironmentFault):
        bystander.build()
    cloud.clients["s3"].create_bucket(
        Bucket="hopscope-chain-late", CreateBucketConfiguration={"LocationConstraint": cloud.region}
    )
    left = bystander.audit()
    before = everything(cloud)
    removed = takedown.take_down(cloud, RUN)
    assert len(removed) > 25
    assert RUN not in takedown.runs(cloud)
    assert takedown.take_down(cloud, RUN) == []
    assert bystander.audit() == left
    after = everything(cloud)
    assert theirs in after
    assert after < before
    takedown.take_down(cloud, "chain-late")
    assert "hopscope-chain-late" in [each["Name"] for each in cloud.clients["s3"].list_buckets()["Buckets"]]
    assert takedown.expired(cloud) == []
    assert takedown.expired(cloud, datetime.now(UTC) + timedelta(hours=2)) == ["chain-other"]
    takedown.take_down(cloud, "chain-other")
    assert takedown.runs(cloud) == {}
