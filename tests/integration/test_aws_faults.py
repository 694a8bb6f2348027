"""What AWS may do at every step of a build and of its end: it goes on, or fails with a clear line; no orphan.

By day three steps, at night all of them: ``STEPS`` and ``REMOVALS`` are compared with what a build and its end call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hopscope.aws import takedown
from hopscope.aws.cloud import SERVICES, Cloud, connect
from hopscope.aws.desired import ADDRESSES, ENDPOINTS
from hopscope.aws.doubles.control import Control
from hopscope.errors import EnvironmentFault, LabFailed
from support import cloud as support
from support.stacks import Crash, crashing, recording, refusing, stack_of

pytestmark = [pytest.mark.integration, pytest.mark.lab_uncaptured]

RUN = "chain-broken"
STEPS = {
    "CreateVpc": "ec2", "ModifyVpcAttribute": "ec2", "CreateInternetGateway": "ec2", "AttachInternetGateway": "ec2",
    "CreateSubnet": "ec2", "CreateSecurityGroup": "ec2", "AuthorizeSecurityGroupIngress": "ec2", "CreateRole": "iam",
    "AttachRolePolicy": "iam", "CreateInstanceProfile": "iam", "AddRoleToInstanceProfile": "iam", "CreateBucket": "s3",
    "PutBucketTagging": "s3", "PutPublicAccessBlock": "s3", "PutBucketLifecycleConfiguration": "s3",
    "CreateNetworkInterface": "ec2", "ModifyNetworkInterfaceAttribute": "ec2", "CreateRouteTable": "ec2",
    "AssociateRouteTable": "ec2", "CreateRoute": "ec2", "CreateVpcEndpoint": "ec2", "RunInstances": "ec2",
    "ModifyInstanceMetadataOptions": "ec2", "AllocateAddress": "ec2", "AssociateAddress": "ec2",
}  # fmt: skip
"""In the order of a build, by service."""
REMOVALS = {
    "TerminateInstances": "ec2", "DeleteVpcEndpoints": "ec2", "DisassociateAddress": "ec2", "ReleaseAddress": "ec2",
    "DeleteNetworkInterface": "ec2", "DisassociateRouteTable": "ec2", "DeleteRouteTable": "ec2", "DeleteSubnet": "ec2",
    "DetachInternetGateway": "ec2", "DeleteInternetGateway": "ec2", "DeleteSecurityGroup": "ec2", "DeleteVpc": "ec2",
    "RemoveRoleFromInstanceProfile": "iam", "DeleteInstanceProfile": "iam", "DetachRolePolicy": "iam",
    "DeleteRole": "iam", "DeleteBucket": "s3",
}  # fmt: skip
NOT_OF = {
    ADDRESSES: {"ModifyVpcAttribute", "CreateVpcEndpoint", "DeleteVpcEndpoints"},
    ENDPOINTS: {
        "CreateInternetGateway", "AttachInternetGateway", "AllocateAddress", "AssociateAddress", "DisassociateAddress",
        "ReleaseAddress", "DetachInternetGateway", "DeleteInternetGateway",
    },
}  # fmt: skip
SEVERAL = {
    "CreateSubnet", "AuthorizeSecurityGroupIngress", "CreateNetworkInterface", "ModifyNetworkInterfaceAttribute",
    "CreateRouteTable", "AssociateRouteTable", "CreateRoute", "RunInstances", "AllocateAddress", "AssociateAddress",
    "CreateVpcEndpoint",
}  # fmt: skip
"""Called more than once: the first may have its effect and the second not."""
FAULTS = {
    "expired": ("ExpiredToken", 0, "the credentials have expired: log in again"),
    "partial": ("ResourceLimitExceeded", 1, "was refused: ResourceLimitExceeded"),
}
"""The code, how many calls work before, and words of the line."""
ONCE_MORE = "PutBucketTagging"
"""Of S3 itself a bucket has its tags from the call that makes it; moto forgets them until this one. In between nobody
could know whose it is."""
LATE = {"ec2": "InvalidThing.NotFound", "iam": "NoSuchEntity", "s3": "NoSuchBucket"}


@pytest.fixture(scope="module")
def control() -> Iterator[Control]:
    server = Control()
    yield server
    server.close()


@pytest.fixture
def cloud(control: Control) -> Iterator[Cloud]:
    control.reset()
    with support.no_cloud():
        yield connect(support.REGION, pace=support.PACE, endpoints=dict.fromkeys(SERVICES, control.url))


def steps(access: str, removals: bool = False) -> dict[str, str]:
    """Operations of a build or of its end, by their service."""
    every = REMOVALS if removals else STEPS
    return {operation: service for operation, service in every.items() if operation not in NOT_OF[access]}


def whole(cloud: Cloud, access: str) -> None:
    """Built, and everything once."""
    stack = stack_of(cloud, RUN, access=access)
    actual = stack.build()
    for operation, count in {"describe_vpcs": 1, "describe_route_tables": 3, "describe_security_groups": 1}.items():
        assert len(cloud.listed(operation, run=RUN)) == count, operation
    assert len(cloud.listed("describe_subnets", run=RUN)) == (4 if access == ENDPOINTS else 3)
    assert len(cloud.listed("describe_network_interfaces", run=RUN)) == 6
    assert len(cloud.listed("describe_addresses", run=RUN)) == (4 if access == ADDRESSES else 0)
    assert len([each for each in cloud.instances(run=RUN) if each["State"]["Name"] == "running"]) == 4
    assert {fact.key for fact in stack.facts} == set(actual.ids)


def gone(cloud: Cloud) -> None:
    takedown.take_down(cloud, RUN)
    assert RUN not in takedown.runs(cloud)
    names = [each["Name"] for each in cloud.clients["s3"].list_buckets()["Buckets"]]
    assert (names, cloud.clients["iam"].list_roles()["Roles"]) == ([], [])


@pytest.mark.nightly
@pytest.mark.parametrize("access", [ADDRESSES, ENDPOINTS])
@pytest.mark.parametrize("fault", ["throttled", "not known yet"])
def test_throttling_and_late_knowledge_at_every_step_are_waited_out(cloud: Cloud, access: str, fault: str) -> None:
    """All at once: the first call of each operation of a build, and of its end."""
    for removals in (False, True):
        wanted = steps(access, removals)
        with ExitStack() as stack:
            called = stack.enter_context(recording(cloud))
            seen = {}
            for operation, service in wanted.items():
                code = "RequestLimitExceeded" if fault == "throttled" else LATE[service]
                seen[operation] = stack.enter_context(refusing(cloud, service, operation, code))
            if not removals:
                whole(cloud, access)
            elif fault == "throttled":
                gone(cloud)
            else:  # what is not known when it is to go has gone: the next call sees that it has not
                takedown.take_down(cloud, RUN)
        assert all(seen.values())
        assert {operation for _, operation in called} <= set(wanted)
    gone(cloud)


@contextmanager
def breaking(cloud: Cloud, fault: str, operation: str, service: str) -> Iterator[None]:
    """Whatever happens within is cut off by the fault."""
    if fault == "crash":
        with crashing(cloud, service, operation) as seen, pytest.raises(Crash):
            yield
    else:
        code, works, words = FAULTS[fault]
        refused = refusing(cloud, service, operation, code, 1000, after=works)
        with refused as seen, pytest.raises(EnvironmentFault) as caught:
            yield
        assert words in str(caught.value)
    assert seen, operation


def broken_build(cloud: Cloud, access: str, fault: str, operations: Iterable[str]) -> None:
    """One build that breaks at every step in turn, and goes on each time."""
    for operation in operations:
        with breaking(cloud, fault, operation, steps(access)[operation]):
            stack_of(cloud, RUN, access=access).build()
    whole(cloud, access)
    gone(cloud)


@pytest.mark.parametrize("fault", ["expired", "crash"])
def test_a_build_that_breaks_goes_on_from_there_and_leaves_no_orphan(cloud: Cloud, fault: str) -> None:
    """Of the network, of what has a name, of the instances."""
    broken_build(cloud, ADDRESSES, fault, ("CreateSubnet", "PutPublicAccessBlock", "RunInstances"))


@pytest.mark.nightly
@pytest.mark.parametrize("access", [ADDRESSES, ENDPOINTS])
@pytest.mark.parametrize("fault", ["expired", "partial", "crash"])
def test_a_build_that_breaks_at_any_step_goes_on_from_there_and_leaves_no_orphan(
    cloud: Cloud, access: str, fault: str
) -> None:
    left_out = {ONCE_MORE, "CreateBucket"} if fault == "crash" else {ONCE_MORE}
    several = set(steps(access)) if fault != "partial" else SEVERAL
    broken_build(cloud, access, fault, [each for each in steps(access) if each in several - left_out])


@pytest.mark.nightly
@pytest.mark.parametrize("access", [ADDRESSES, ENDPOINTS])
@pytest.mark.parametrize("fault", ["expired", "crash", "in use"])
def test_an_end_that_breaks_at_any_step_is_called_again_and_leaves_nothing(
    cloud: Cloud, access: str, fault: str
) -> None:
    whole(cloud, access)
    removals = steps(access, removals=True)
    if fault == "crash":
        for operation, service in removals.items():
            with breaking(cloud, fault, operation, service):
                takedown.take_down(cloud, RUN)
    else:  # it goes on with what can go, and tells all that could not
        code = {"expired": "ExpiredToken", "in use": "DependencyViolation"}[fault]
        with ExitStack() as stack:
            seen = [stack.enter_context(refusing(cloud, service, each, code)) for each, service in removals.items()]
            for _ in removals:
                if all(seen):
                    break
                with pytest.raises(LabFailed, match=f"hopscope aws reap --run {RUN}"):
                    takedown.take_down(cloud, RUN)
        assert all(seen)
    gone(cloud)
