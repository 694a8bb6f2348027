"""From what is to what should be, one drift at a time; building is the repair of a stack that is not there yet.

Nothing is changed that does not carry the run's tag, unless the stack was adopted. Everything is tagged by the call
that makes it, so whatever happens in between is found again: a build that was cut off goes on when it is called again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hopscope.aws import actual, userdata
from hopscope.aws.actual import POLICY, stack_name
from hopscope.aws.audit import Actual, Line, Status, after_repair, audit
from hopscope.aws.cloud import Cloud, as_list
from hopscope.aws.desired import EXISTS, TAG, Fact, Request, guest_routes, of_others
from hopscope.aws.desired import facts as desired_facts
from hopscope.aws.endpoints import Endpoints
from hopscope.errors import EnvironmentFault, LabFailed
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Topology

ROUNDS = 4
"""What is made may show the next thing to be made; more rounds than these would change nothing."""
AS_MADE = {
    ("eni", "groups"),
    ("instance", "state"),
    ("instance", "interfaces"),
    ("endpoint", "subnet"),
    ("endpoint", "groups"),
    ("endpoint", "names"),
    ("endpoint", "tables"),
}
"""What a thing is given by the call that makes it."""
STATE_SECONDS = 180.0
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
BUCKET_DAYS = 1
Say = Callable[[str], None]


class Stack:
    """One run's things in AWS. ``vpc`` is that of a stack that was adopted; changing it has to be asked for."""

    def __init__(self, cloud: Cloud, topology: Topology, request: Request, *, vpc: str | None = None) -> None:
        self.cloud, self.topology, self.request, self.vpc = cloud, topology, request, vpc
        wanted = desired_facts(topology, request)
        self.facts = wanted if vpc is None else of_others(wanted)

    def look(self) -> Actual:
        return actual.read(self.cloud, self.topology, self.request.run, vpc=self.vpc, access=self.request.access)

    def audit(self) -> tuple[Line, ...]:
        return audit(self.facts, self.look())

    def repair(self, say: Say = lambda text: None) -> tuple[Line, ...]:
        """Mend all that can be mended, and read it back. The lines say what was FIXED and what is left. Raises
        EnvironmentFault where AWS refuses a change; what was done until then stays, and is found by the next call."""
        now = self.look()
        before = lines = audit(self.facts, now)
        for _ in range(ROUNDS):
            drifted = [line for line in lines if line.status is Status.DRIFT]
            if not drifted:
                break
            mender = _Mender(self, now)
            for line in drifted:
                say(f"{line.key}: {line.aspect}: {line.wanted}")
                mender.mend(line)
            now = self.look()
            again = audit(self.facts, now)
            if [line for line in again if line.status is Status.DRIFT] == drifted:
                lines = again
                break
            lines = again
        return after_repair(before, lines)

    def build(self, say: Say = lambda text: None) -> Actual:
        """Everything there, running and read back. LabFailed with what is not."""
        wrong = [line for line in self.repair(say) if line.status not in (Status.OK, Status.FIXED)]
        if wrong:
            raise LabFailed(f"stack {self.request.run} could not be built", evidence="\n".join(map(str, wrong)))
        return self.look()


class _Mender:
    """One round of changes; ``ids`` grow as things are made."""

    def __init__(self, stack: Stack, now: Actual) -> None:
        self.cloud, self.topology, self.request = stack.cloud, stack.topology, stack.request
        self.now = now
        self.ids = dict(now.ids)
        self.ours = set(now.owned)
        self.endpoints = Endpoints(stack.cloud, self.ids, stack.facts)
        self.adopted = stack.vpc is not None
        self.run = stack_name(stack.request.run)

    def mend(self, line: Line) -> None:
        fact = Fact(line.key, line.aspect, line.wanted, line.effect)
        aspect = fact.aspect.partition(" ")[0]
        if line.key in self.ids and line.key not in self.ours and not self.adopted and fact.aspect != "tags":
            raise EnvironmentFault(
                f"{line.key} ({self.ids[line.key]}) is not of run {self.request.run} by its tag: it is not changed"
            )
        if fact.aspect == EXISTS and line.key not in self.ids and self.adopted:
            raise EnvironmentFault(f"{line.key} is missing: nothing is added to a stack that was adopted")
        if fact.aspect != EXISTS and fact.key not in self.ids:
            return  # the next round mends it
        if fact.key not in self.now.ids and (fact.kind, fact.aspect) in AS_MADE:
            return  # the next round reads it back
        change: Callable[[Fact], None] | None = getattr(self, f"_{fact.kind}_{aspect.replace('/', '_')}", None)
        if change is not None:
            change(fact)
        elif fact.key in self.now.ids:  # what was made in this round was made with its tags
            self._tags(fact)

    # -- making, with its tags ----------------------------------------------------------------------------------------

    def _tag_list(self, key: str) -> list[dict[str, str]]:
        return as_list({**self.request.tags, f"{TAG}key": key, "Name": f"{self.request.run} {key}"})

    def _made(self, fact: Fact, identity: str) -> str:
        self.ids[fact.key] = identity
        self.ours.add(fact.key)
        return identity

    def _make(self, fact: Fact, operation: str, kind: str, answer: str, name: str, **given: Any) -> str:
        tags = [{"ResourceType": kind, "Tags": self._tag_list(fact.key)}]
        told = self.cloud.ask("ec2", operation, TagSpecifications=tags, **given)
        return self._made(fact, str((told[answer] if answer else told)[name]))

    def _change(self, operation: str, *, allowed: Sequence[str] = (), **given: Any) -> dict[str, Any]:
        return self.cloud.ask("ec2", operation, allowed=allowed, **given)

    def _tags(self, fact: Fact) -> None:
        if fact.aspect != "tags":
            raise EnvironmentFault(f"there is no way to mend {fact.place}")
        tags = self._tag_list(fact.key)
        if fact.kind == "role":
            self.cloud.ask("iam", "tag_role", RoleName=self.run, Tags=tags)
        elif fact.kind == "profile":
            self.cloud.ask("iam", "tag_instance_profile", InstanceProfileName=self.run, Tags=tags)
        elif fact.kind == "bucket":
            self.cloud.ask("s3", "put_bucket_tagging", Bucket=self.run, Tagging={"TagSet": tags})
        else:
            self._change("create_tags", Resources=[self.ids[fact.key]], Tags=tags)

    # -- ground -------------------------------------------------------------------------------------------------------

    def _vpc_exists(self, fact: Fact) -> None:
        self._make(fact, "create_vpc", "vpc", "Vpc", "VpcId", CidrBlock=fact.wanted)

    def _vpc_range(self, fact: Fact) -> None:
        self._change("associate_vpc_cidr_block", VpcId=self.ids["vpc"], CidrBlock=fact.aspect.partition(" ")[2])

    def _vpc_names(self, fact: Fact) -> None:
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):  # one at a time is all that EC2 takes
            given: dict[str, Any] = {attribute: {"Value": True}}
            self._change("modify_vpc_attribute", VpcId=self.ids["vpc"], **given)

    def _gateway_exists(self, fact: Fact) -> None:
        if fact.key not in self.ids:
            self._make(fact, "create_internet_gateway", "internet-gateway", "InternetGateway", "InternetGatewayId")
        self._change("attach_internet_gateway", InternetGatewayId=self.ids[fact.key], VpcId=self.ids["vpc"])

    def _subnet_exists(self, fact: Fact) -> None:
        zone = self._zone()
        self._make(
            fact,
            "create_subnet",
            "subnet",
            "Subnet",
            "SubnetId",
            VpcId=self.ids["vpc"],
            CidrBlock=fact.wanted,
            **zone,
        )

    def _zone(self) -> dict[str, Any]:
        """All subnets in one zone: traffic between zones is slower, and is paid for."""
        for key, identity in self.ids.items():
            if key.startswith("subnet "):
                (subnet,) = self.cloud.listed("describe_subnets", subnet_id=identity)
                return {"AvailabilityZone": subnet["AvailabilityZone"]}
        return {}

    def _group_exists(self, fact: Fact) -> None:
        self._make(
            fact,
            "create_security_group",
            "security-group",
            "",
            "GroupId",
            GroupName=self.run,
            Description=f"hosts of {self.request.run}",
            VpcId=self.ids["vpc"],
        )

    def _group_rule(self, fact: Fact) -> None:
        group = self.ids["group"]
        stale = self.now.stale.get((fact.key, fact.aspect))
        if stale is not None:
            self._change("revoke_security_group_ingress", GroupId=group, IpPermissions=[permission(stale, group)])
        self._change(
            "authorize_security_group_ingress",
            allowed=("InvalidPermission.Duplicate",),
            GroupId=group,
            IpPermissions=[permission(fact.wanted, group)],
        )

    def _role_exists(self, fact: Fact) -> None:
        if fact.key not in self.ids:
            trust = json.dumps(TRUST)
            tags = self._tag_list(fact.key)
            self.cloud.ask("iam", "create_role", RoleName=self.run, AssumeRolePolicyDocument=trust, Tags=tags)
            self._made(fact, self.run)
        self.cloud.ask("iam", "attach_role_policy", RoleName=self.run, PolicyArn=POLICY)

    def _profile_exists(self, fact: Fact) -> None:
        if fact.key not in self.ids:
            tags = self._tag_list(fact.key)
            self.cloud.ask("iam", "create_instance_profile", InstanceProfileName=self.run, Tags=tags)
            self._made(fact, self.run)
        self.cloud.ask("iam", "add_role_to_instance_profile", InstanceProfileName=self.run, RoleName=self.run)

    def _bucket_exists(self, fact: Fact) -> None:
        if fact.key not in self.ids:
            place = {} if self.cloud.region == "us-east-1" else {"LocationConstraint": self.cloud.region}
            how = {**place, "Tags": self._tag_list(fact.key)}
            owned = ["BucketAlreadyOwnedByYou"]
            self.cloud.ask("s3", "create_bucket", Bucket=self.run, allowed=owned, CreateBucketConfiguration=how)
            self._made(fact, self.run)
            self._tags(replace(fact, aspect="tags"))  # once more: not everything that speaks S3 knows them there
        every = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        self.cloud.ask(
            "s3", "put_public_access_block", Bucket=self.run, PublicAccessBlockConfiguration=dict.fromkeys(every, True)
        )
        rule = {
            "ID": "expire",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": BUCKET_DAYS},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": BUCKET_DAYS},
        }
        self.cloud.ask(
            "s3", "put_bucket_lifecycle_configuration", Bucket=self.run, LifecycleConfiguration={"Rules": [rule]}
        )

    # -- interfaces and tables ----------------------------------------------------------------------------------------

    def _eni_exists(self, fact: Fact) -> None:
        address, _, subnet = fact.wanted.partition(" in ")
        self._make(
            fact,
            "create_network_interface",
            "network-interface",
            "NetworkInterface",
            "NetworkInterfaceId",
            SubnetId=self.ids[subnet],
            PrivateIpAddress=address,
            Groups=[self.ids["group"]],
            Description=f"{self.request.run} {fact.key}",
        )

    def _eni_groups(self, fact: Fact) -> None:
        self._change(
            "modify_network_interface_attribute", NetworkInterfaceId=self.ids[fact.key], Groups=[self.ids["group"]]
        )

    def _eni_source_dest(self, fact: Fact) -> None:
        self._change(
            "modify_network_interface_attribute",
            NetworkInterfaceId=self.ids[fact.key],
            SourceDestCheck={"Value": False},
        )

    def _table_exists(self, fact: Fact) -> None:
        self._make(fact, "create_route_table", "route-table", "RouteTable", "RouteTableId", VpcId=self.ids["vpc"])

    def _table_subnet(self, fact: Fact) -> None:
        table = self.ids[fact.key]
        association = self.now.stale.get((fact.key, fact.aspect))
        if association:
            self._change("replace_route_table_association", AssociationId=association, RouteTableId=table)
        else:
            self._change("associate_route_table", SubnetId=self.ids[fact.wanted], RouteTableId=table)

    def _table_route(self, fact: Fact) -> None:
        there = (fact.key, fact.aspect) in self.now.stale
        target: dict[str, Any] = {
            "GatewayId" if fact.wanted == "gateway" else "NetworkInterfaceId": self.ids[fact.wanted]
        }
        self._change(
            "replace_route" if there else "create_route",
            RouteTableId=self.ids[fact.key],
            DestinationCidrBlock=fact.aspect.partition(" ")[2],
            **target,
        )

    # -- endpoints ----------------------------------------------------------------------------------------------------

    def _endpoint_exists(self, fact: Fact) -> None:
        given: dict[str, Any] = self.endpoints.given(fact)
        self._make(fact, "create_vpc_endpoint", "vpc-endpoint", "VpcEndpoint", "VpcEndpointId", **given)

    def _endpoint_subnet(self, fact: Fact) -> None:
        self.endpoints.set(fact)

    _endpoint_groups = _endpoint_tables = _endpoint_subnet

    def _endpoint_names(self, fact: Fact) -> None:
        self._change("modify_vpc_endpoint", VpcEndpointId=self.ids[fact.key], PrivateDnsEnabled=True)

    def _endpoint_state(self, fact: Fact) -> None:
        self.endpoints.await_state(fact)

    # -- instances ----------------------------------------------------------------------------------------------------

    def _instance_exists(self, fact: Fact) -> None:
        host = self.topology.host(fact.key.partition(" ")[2])
        interfaces = [
            {"DeviceIndex": index, "NetworkInterfaceId": self.ids[f"eni {port.key}"]}
            for index, port in enumerate(host.ports)
        ]
        image = self.cloud.ask("ssm", "get_parameter", Name=self.request.image)["Parameter"]["Value"]
        tags = self._tag_list(fact.key)
        generation = len(self.cloud.instances(run=self.request.run, **{f"tag:{TAG}key": fact.key}))
        told = self._change(
            "run_instances",
            ImageId=image,
            InstanceType=fact.wanted,
            MinCount=1,
            MaxCount=1,
            ClientToken=f"{self.request.run}-{host.name}-{generation}",  # asked twice, it is made once
            NetworkInterfaces=interfaces,
            IamInstanceProfile={"Name": self.run},
            MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            InstanceInitiatedShutdownBehavior="terminate",
            UserData=userdata.script(
                self.request.minutes_left, forwards=host.forwarding, routes=guest_routes(self.topology, host.name)
            ),
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        )
        self._until(self._made(fact, str(told["Instances"][0]["InstanceId"])), "running")

    def _instance_state(self, fact: Fact) -> None:
        instance = self.ids[fact.key]
        if self._state(instance) == "stopping":
            self._until(instance, "stopped")
        if self._state(instance) == "stopped":
            self._change("start_instances", InstanceIds=[instance])
        self._until(instance, "running")

    def _instance_metadata(self, fact: Fact) -> None:
        self._change("modify_instance_metadata_options", InstanceId=self.ids[fact.key], HttpTokens="required")

    def _state(self, instance: str) -> str:
        (found,) = self.cloud.instances(instance_id=instance)
        return str(found["State"]["Name"])

    def _until(self, instance: str, state: str) -> None:
        def reached() -> bool:
            found = self.cloud.instances(instance_id=instance)
            now = found[0]["State"]["Name"] if found else "nowhere to be seen"
            if now in actual.ENDED:
                raise EnvironmentFault(
                    f"{instance} has ended: {found[0].get('StateReason', {}).get('Message', 'no reason was given')}"
                )
            return bool(now == state)

        wait_until(reached, timeout=STATE_SECONDS, interval=self.cloud.pace.longest, what=f"{instance} to be {state}")

    def _address_exists(self, fact: Fact) -> None:
        self._make(fact, "allocate_address", "elastic-ip", "", "AllocationId", Domain="vpc")

    def _address_interface(self, fact: Fact) -> None:
        self._change(
            "associate_address",
            AllocationId=self.ids[fact.key],
            NetworkInterfaceId=self.ids[fact.wanted],
            AllowReassociation=True,
        )


def permission(rule: str, group: str) -> dict[str, Any]:
    """A line like those of ``desired.rules`` as a permission of EC2."""
    protocol, ports, _, source = rule.split()
    low, _, high = ports.partition("-")
    found: dict[str, Any] = {"IpProtocol": "-1" if protocol == "all" else protocol}
    if protocol != "all":
        found |= {"FromPort": -1, "ToPort": -1} if ports == "all" else {"FromPort": int(low), "ToPort": int(high)}
    if source == "group" or source.startswith("sg-"):
        found["UserIdGroupPairs"] = [{"GroupId": group if source == "group" else source}]
    else:
        found["IpRanges"] = [{"CidrIp": source}]
    return found
