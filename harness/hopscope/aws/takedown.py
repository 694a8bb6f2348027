"""The end of a run: all that carries its tag goes, in the order in which AWS lets it go; nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hopscope.aws.actual import ENDED, ENDPOINT_ENDED, POLICY, stack_name
from hopscope.aws.cloud import Cloud, tags_of
from hopscope.aws.desired import TAG
from hopscope.errors import EnvironmentFault, LabFailed
from hopscope.lab.wait import wait_until

ENDED_SECONDS = 300.0
GONE = ("NoSuchEntity", "NoSuchBucket", "404")


def runs(cloud: Cloud) -> dict[str, datetime | None]:
    """Runs that something is left of, with their times to end; None where no tag tells."""
    found: dict[str, datetime | None] = {}
    things = [each for operation in _LISTINGS for each in cloud.listed(operation, tag_key=f"{TAG}run")]
    things += [each for each in cloud.instances(tag_key=f"{TAG}run") if each["State"]["Name"] != "terminated"]
    things += _endpoints_of(cloud, tag_key=f"{TAG}run")
    for tags in map(tags_of, things):
        run, expires = tags[f"{TAG}run"], tags.get(f"{TAG}expires")
        found[run] = datetime.fromisoformat(expires) if expires else found.get(run)
    return found


def expired(cloud: Cloud, now: datetime | None = None) -> list[str]:
    """Runs whose time is over, or that have lost the tag that says when it is."""
    moment = now or datetime.now(UTC)
    return [run for run, expires in runs(cloud).items() if expires is None or expires <= moment]


def take_down(cloud: Cloud, run: str, say: Callable[[str], None] = lambda text: None) -> list[str]:
    """End a run; what was removed. Goes on after a failure, and raises LabFailed with all of them: call again."""
    removed: list[str] = []
    errors: list[str] = []

    def remove(what: str, operation: str, service: str = "ec2", **given: object) -> bool:
        try:
            told = cloud.ask(service, operation, allowed=[*GONE, *_gone(operation)], **given)
            for each in told.get("Unsuccessful") or ():  # said of each in an answer that is none
                raise EnvironmentFault(f"{operation}: {each['ResourceId']}: {each['Error']['Message']}")
            removed.append(what)
            say(f"removed {what}")
        except EnvironmentFault as error:
            errors.append(f"{what}: {error.message}")
            return False
        return True

    try:
        _instances(cloud, run, remove)
        _endpoints(cloud, run, remove)
        _network(cloud, run, remove)
        _names(cloud, run, remove)
    except EnvironmentFault as error:
        errors.append(error.message)
    if errors:
        raise LabFailed(
            f"run {run} is not gone whole: call again (hopscope aws reap --run {run})", evidence="\n".join(errors)
        )
    return removed


_LISTINGS = (
    "describe_vpcs",
    "describe_subnets",
    "describe_internet_gateways",
    "describe_security_groups",
    "describe_network_interfaces",
    "describe_route_tables",
    "describe_addresses",
    "describe_volumes",
)
Remove = Callable[..., bool]


def _gone(operation: str) -> list[str]:
    """What AWS says of something that is no longer there."""
    names = ("Vpc", "Subnet", "InternetGateway", "Group", "NetworkInterface", "RouteTable", "Allocation", "Association")
    return [f"Invalid{name}{tail}.NotFound" for name in names for tail in ("ID", "Id", "")] + [
        "InvalidInstanceID.NotFound",
        "InvalidVolume.NotFound",
        "InvalidVpcEndpointId.NotFound",
        "Gateway.NotAttached",
    ]


def _instances(cloud: Cloud, run: str, remove: Remove) -> None:
    living = [each["InstanceId"] for each in cloud.instances(run=run) if each["State"]["Name"] != "terminated"]
    if not living:
        return
    if not remove(f"instances {', '.join(living)}", "terminate_instances", InstanceIds=living):
        return  # there is no end to wait for
    wait_until(
        lambda: all(each["State"]["Name"] == ENDED[0] for each in cloud.instances(instance_id=living)),
        timeout=ENDED_SECONDS,
        interval=cloud.pace.longest,
        what="the instances to end",
    )


def _endpoints_of(cloud: Cloud, **filters: str | list[str]) -> list[dict[str, Any]]:
    """Those that have ended linger on in listings."""
    listed = cloud.listed("describe_vpc_endpoints", **filters)
    return [each for each in listed if each["State"].lower() != ENDPOINT_ENDED[-1]]


def _endpoints(cloud: Cloud, run: str, remove: Remove) -> None:
    """Their interfaces are in a subnet and a group until they have gone."""
    left = [each["VpcEndpointId"] for each in _endpoints_of(cloud, run=run)]
    if left and remove(f"endpoints {', '.join(left)}", "delete_vpc_endpoints", VpcEndpointIds=left):
        wait_until(
            lambda: not _endpoints_of(cloud, run=run),
            timeout=ENDED_SECONDS,
            interval=cloud.pace.longest,
            what="the endpoints to go",
        )


def _network(cloud: Cloud, run: str, remove: Remove) -> None:
    for address in cloud.listed("describe_addresses", run=run):
        if "AssociationId" in address:
            remove(
                f"association of {address['PublicIp']}", "disassociate_address", AssociationId=address["AssociationId"]
            )
        remove(f"address {address['PublicIp']}", "release_address", AllocationId=address["AllocationId"])
    for eni in cloud.listed("describe_network_interfaces", run=run):
        remove(eni["NetworkInterfaceId"], "delete_network_interface", NetworkInterfaceId=eni["NetworkInterfaceId"])
    for volume in cloud.listed("describe_volumes", run=run):
        remove(volume["VolumeId"], "delete_volume", VolumeId=volume["VolumeId"])
    for table in cloud.listed("describe_route_tables", run=run):
        for each in table["Associations"]:
            if not each.get("Main"):
                remove(
                    f"association of {table['RouteTableId']}",
                    "disassociate_route_table",
                    AssociationId=each["RouteTableAssociationId"],
                )
        remove(table["RouteTableId"], "delete_route_table", RouteTableId=table["RouteTableId"])
    for subnet in cloud.listed("describe_subnets", run=run):
        remove(subnet["SubnetId"], "delete_subnet", SubnetId=subnet["SubnetId"])
    for gateway in cloud.listed("describe_internet_gateways", run=run):
        identity = gateway["InternetGatewayId"]
        for each in gateway["Attachments"]:
            remove(
                f"attachment of {identity}", "detach_internet_gateway", InternetGatewayId=identity, VpcId=each["VpcId"]
            )
        remove(identity, "delete_internet_gateway", InternetGatewayId=identity)
    for group in cloud.listed("describe_security_groups", run=run):
        remove(group["GroupId"], "delete_security_group", GroupId=group["GroupId"])
    for vpc in cloud.listed("describe_vpcs", run=run):
        remove(vpc["VpcId"], "delete_vpc", VpcId=vpc["VpcId"])


def _names(cloud: Cloud, run: str, remove: Remove) -> None:
    """What has a name of its own instead of a number. Each is removed only where it carries the tag as well."""
    name = stack_name(run)
    profile = cloud.ask("iam", "get_instance_profile", InstanceProfileName=name, allowed=GONE).get("InstanceProfile")
    if profile and _ours(profile, run):
        for role in profile["Roles"]:
            remove(
                "role of the profile",
                "remove_role_from_instance_profile",
                "iam",
                InstanceProfileName=name,
                RoleName=role["RoleName"],
            )
        remove(f"profile {name}", "delete_instance_profile", "iam", InstanceProfileName=name)
    role = cloud.ask("iam", "get_role", RoleName=name, allowed=GONE).get("Role")
    if role and _ours(role, run):
        remove("policy of the role", "detach_role_policy", "iam", RoleName=name, PolicyArn=POLICY)
        remove(f"role {name}", "delete_role", "iam", RoleName=name)
    tagging = cloud.ask("s3", "get_bucket_tagging", Bucket=name, allowed=[*GONE, "NoSuchTagSet"])
    if _ours(tagging, run):
        _empty(cloud, name, remove)
        remove(f"bucket {name}", "delete_bucket", "s3", Bucket=name)


def _empty(cloud: Cloud, bucket: str, remove: Remove) -> None:
    before = None
    while (objects := cloud.ask("s3", "list_objects_v2", Bucket=bucket).get("Contents")) and objects != before:
        before = objects
        for each in objects:
            remove(f"object {each['Key']}", "delete_object", "s3", Bucket=bucket, Key=each["Key"])


def _ours(thing: dict[str, object], run: str) -> bool:
    return tags_of(thing).get(f"{TAG}run") == run
