"""What is there now: everything with a run's tag, or of a VPC that somebody else made, by the keys of ``desired``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hopscope.aws.audit import MISSING, Actual
from hopscope.aws.cloud import Cloud, tags_of
from hopscope.aws.desired import (
    ADDRESSES,
    ENDPOINTS,
    EXISTS,
    TAG,
    eni_key,
    network,
    rules,
    subnet_key,
    table_key,
)
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.model.topology import Topology

ENDED = ("terminated", "shutting-down")
ENDPOINT_ENDED = ("deleting", "deleted")
POLICY = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
NOT_ALLOWED = ("AccessDenied", "UnauthorizedOperation")
Thing = Mapping[str, Any]


def stack_name(run: str) -> str:
    """Of what is named and not tagged alone: role, instance profile, bucket."""
    return f"hopscope-{run}"


def read(cloud: Cloud, topology: Topology, run: str, *, vpc: str | None = None, access: str = ADDRESSES) -> Actual:
    """``vpc`` is one that somebody else made: what is in it is known by its place. Things that may not be looked at are
    unknown, with the reason, and not missing."""
    return _Reading(cloud, topology, run, vpc, access).read()


def access_of(cloud: Cloud, run: str, asked: str | None = None) -> str:
    """How the hosts of a run reach Systems Manager: as it was built, else as ``asked``. UsageError where it was built
    in the other way."""
    built = {tags_of(vpc).get(f"{TAG}access", ADDRESSES) for vpc in cloud.listed("describe_vpcs", run=run)}
    if asked is not None and built - {asked}:
        raise UsageError(
            f"run {run} was built with {', '.join(built)}, and not with {asked}: reap it, or leave that out"
        )
    return asked or next(iter(built), ADDRESSES)


class _Reading:
    def __init__(self, cloud: Cloud, topology: Topology, run: str, vpc: str | None, access: str) -> None:
        self.cloud, self.topology, self.run, self.vpc, self.access = cloud, topology, run, vpc, access
        self.filters: dict[str, str | list[str]] = {"run": run} if vpc is None else {"vpc_id": vpc}
        self.ids: dict[str, str] = {}
        self.seen: dict[tuple[str, str], str] = {}
        self.stale: dict[tuple[str, str], str] = {}
        self.owned: set[str] = set()
        self.unknown: dict[str, str] = {}
        self.found: list[Thing] = []

    def read(self) -> Actual:
        # in this order: later ones name earlier ones by their keys
        for kind, look in (
            ("vpc", self._vpc),
            ("gateway", self._gateway),
            ("subnet", self._subnets),
            ("group", self._group),
            ("instance", self._instances),
            ("eni", self._enis),
            ("instance", self._attached),
            ("table", self._tables),
            *((("address", self._addresses),) if self.access == ADDRESSES else (("endpoint", self._endpoints),)),
            *((("role", self._role), ("profile", self._profile), ("bucket", self._bucket)) if self.vpc is None else ()),
        ):
            self._try(kind, look)
        return Actual(self.ids, self.seen, frozenset(self.owned), self.unknown, self.stale)

    def _try(self, kind: str, look: Callable[[], None]) -> None:
        try:
            look()
        except EnvironmentFault as error:
            if not any(code in error.message for code in NOT_ALLOWED):
                raise  # nothing can be seen, and the reason is one for all
            self.unknown[kind] = error.message

    def key(self, identity: str | None) -> str:
        """What stands for an id of AWS in values: our key, or the id of something that is not ours."""
        return next((key for key, each in self.ids.items() if each == identity), identity or "nothing")

    def note(self, key: str, identity: str, thing: Thing, value: str) -> None:
        self.ids[key] = identity
        self.seen[key, EXISTS] = value
        tags = tags_of(thing)
        if tags.get(f"{TAG}run") == self.run:
            self.owned.add(key)
        names = [name for name in ("run", "owner", "expires") if f"{TAG}{name}" in tags]
        self.seen[key, "tags"] = ", ".join(names) or MISSING

    def _tagged(self, thing: Thing, kind: str) -> str | None:
        key = tags_of(thing).get(f"{TAG}key")
        return key if key is not None and key.partition(" ")[0] == kind else None

    def _vpc(self) -> None:
        for vpc in self.cloud.listed("describe_vpcs", **self.filters):
            self.note("vpc", vpc["VpcId"], vpc, vpc["CidrBlock"])
            for each in vpc.get("CidrBlockAssociationSet", ()):
                self.seen["vpc", f"range {each['CidrBlock']}"] = each["CidrBlockState"]["State"]
            if self.access == ENDPOINTS:
                asked = {
                    name: self.cloud.ask("ec2", "describe_vpc_attribute", VpcId=vpc["VpcId"], Attribute=name)
                    for name in ("enableDnsSupport", "enableDnsHostnames")
                }
                has = all(told[f"E{name[1:]}"]["Value"] for name, told in asked.items())
                self.seen["vpc", "names"] = "of its own" if has else "none"

    def _gateway(self) -> None:
        filters = self.filters if self.vpc is None else {"attachment__vpc_id": self.vpc}
        for gateway in self.cloud.listed("describe_internet_gateways", **filters):
            attached = [self.key(each["VpcId"]) for each in gateway["Attachments"]]
            self.note(
                "gateway", gateway["InternetGatewayId"], gateway, f"attached to {', '.join(attached) or 'nothing'}"
            )

    def _subnets(self) -> None:
        ranges = {str(network(link)): subnet_key(link) for link in self.topology.links}
        for subnet in self.cloud.listed("describe_subnets", **self.filters):
            key = self._tagged(subnet, "subnet") or ranges.get(subnet["CidrBlock"])
            if key is not None:
                self.note(key, subnet["SubnetId"], subnet, subnet["CidrBlock"])

    def _group(self) -> None:
        groups = self.cloud.listed("describe_security_groups", **self.filters)
        if self.vpc is not None:  # that which most interfaces have
            used = [
                g["GroupId"]
                for e in self.cloud.listed("describe_network_interfaces", **self.filters)
                for g in e["Groups"]
            ]
            groups = sorted(groups, key=lambda group: used.count(group["GroupId"]))[-1:]
        for group in groups:
            self.note("group", group["GroupId"], group, "in " + self.key(group["VpcId"]))
            there = {text for permission in group["IpPermissions"] for text in _rules(permission, group["GroupId"])}
            wanted = rules(self.topology)
            for name, text in wanted.items():
                if text in there:
                    self.seen["group", name] = text
                    continue
                for other in sorted(there - set(wanted.values())):
                    if other.split()[0] == text.split()[0]:
                        self.seen["group", name] = self.stale["group", name] = other

    def _instances(self) -> None:
        self.found = [each for each in self.cloud.instances(**self.filters) if each["State"]["Name"] not in ENDED]
        subnets = {str(network(link)): set() for link in self.topology.links}  # type: ignore[var-annotated]
        for link in self.topology.links:
            subnets[str(network(link))] |= {port.host for port in link.ports}
        for instance in self.found:
            key = self._tagged(instance, "instance")
            if key is None and self.vpc is not None:
                key = self._by_place(instance)
            if key is None:
                continue
            self.note(key, instance["InstanceId"], instance, instance["InstanceType"])
            self.seen[key, "state"] = instance["State"]["Name"]
            tokens = instance.get("MetadataOptions", {}).get("HttpTokens")
            self.seen[key, "metadata"] = f"tokens {tokens or 'optional'}"

    def _by_place(self, instance: Thing) -> str | None:
        """The host whose subnets are exactly those of the instance."""
        there = {self.key(each["SubnetId"]) for each in instance["NetworkInterfaces"]}
        for host in self.topology.hosts:
            if there == {subnet_key(self.topology.link_of(port)) for port in host.ports}:
                return f"instance {host.name}"
        return None

    def _enis(self) -> None:
        owners = {e["NetworkInterfaceId"]: i for i in self.found for e in i["NetworkInterfaces"]}
        for eni in self.cloud.listed("describe_network_interfaces", **self.filters):
            subnet = self.key(eni["SubnetId"])
            key = self._tagged(eni, "eni") or self._eni_by_place(owners.get(eni["NetworkInterfaceId"]), subnet)
            if key is None:
                continue
            self.note(key, eni["NetworkInterfaceId"], eni, f"{eni['PrivateIpAddress']} in {subnet}")
            self.seen[key, "groups"] = ", ".join(sorted(self.key(group["GroupId"]) for group in eni["Groups"]))
            self.seen[key, "source/dest check"] = "on" if eni["SourceDestCheck"] else "off"

    def _eni_by_place(self, instance: Thing | None, subnet: str) -> str | None:
        host = self.key(instance["InstanceId"] if instance else None).partition(" ")[2]
        for link in self.topology.links:
            for port in link.ports:
                if port.host == host and subnet_key(link) == subnet:
                    return eni_key(port)
        return None

    def _attached(self) -> None:
        for instance in self.found:
            key = self.key(instance["InstanceId"])
            ordered = sorted(instance["NetworkInterfaces"], key=lambda each: each["Attachment"]["DeviceIndex"])
            self.seen[key, "interfaces"] = ", ".join(self.key(each["NetworkInterfaceId"]) for each in ordered)

    def _tables(self) -> None:
        if "vpc" not in self.ids:
            return
        links = {subnet_key(link): table_key(link) for link in self.topology.links}
        of_subnet: dict[str, tuple[str, str]] = {}
        for table in self.cloud.listed("describe_route_tables", vpc_id=self.ids["vpc"]):
            subnets = [self.key(each["SubnetId"]) for each in table["Associations"] if "SubnetId" in each]
            for each in table["Associations"]:
                if "SubnetId" in each:
                    of_subnet[self.key(each["SubnetId"])] = (table["RouteTableId"], each["RouteTableAssociationId"])
            key = self._tagged(table, "table")
            if key is None and self.vpc is not None:
                key = next((links[subnet] for subnet in subnets if subnet in links), None)
            if key is None:
                continue
            self.note(key, table["RouteTableId"], table, "in " + self.key(table["VpcId"]))
            for route in table["Routes"]:
                if route.get("GatewayId") != "local" and "DestinationCidrBlock" in route:
                    self._row(key, route)
        for subnet, wanted in links.items():
            identity, association = of_subnet.get(subnet, ("", ""))
            if identity and identity == self.ids.get(wanted):
                self.seen[wanted, "subnet"] = subnet
            elif identity:
                self.seen[wanted, "subnet"] = f"nothing ({subnet} has {identity})"
                self.stale[wanted, "subnet"] = association

    def _row(self, key: str, route: Thing) -> None:
        target = route.get("NetworkInterfaceId") or route.get("GatewayId") or route.get("InstanceId")
        dead = " (blackhole)" if route.get("State") == "blackhole" else ""
        aspect = f"route {route['DestinationCidrBlock']}"
        self.seen[key, aspect] = self.stale[key, aspect] = self.key(target) + dead

    def _addresses(self) -> None:
        if self.vpc is not None:
            return
        for address in self.cloud.listed("describe_addresses", **self.filters):
            key = self._tagged(address, "address")
            if key is not None:
                self.note(key, address["AllocationId"], address, "allocated")
                self.seen[key, "interface"] = self.key(address.get("NetworkInterfaceId"))

    def _endpoints(self) -> None:
        for endpoint in self.cloud.listed("describe_vpc_endpoints", **self.filters):
            key = self._tagged(endpoint, "endpoint")
            if key is None or endpoint["State"].lower() in ENDPOINT_ENDED:
                continue
            kind, service = endpoint["VpcEndpointType"].lower(), endpoint["ServiceName"].rpartition(".")[2]
            self.note(key, endpoint["VpcEndpointId"], endpoint, f"{kind} of {service}")
            self.seen[key, "state"] = endpoint["State"].lower()
            self.seen[key, "subnet"] = self._keys(endpoint.get("SubnetIds"))
            self.seen[key, "groups"] = self._keys(each["GroupId"] for each in endpoint.get("Groups", ()))
            self.seen[key, "tables"] = self._keys(endpoint.get("RouteTableIds"))
            self.seen[key, "names"] = "of the service" if endpoint.get("PrivateDnsEnabled") else "its own"

    def _keys(self, identities: Iterable[str] | None) -> str:
        return ", ".join(sorted(map(self.key, identities or ()))) or "none"

    def _role(self) -> None:
        name = stack_name(self.run)
        role = self.cloud.ask("iam", "get_role", RoleName=name, allowed=["NoSuchEntity"]).get("Role")
        if role is None:
            return
        attached = self.cloud.ask("iam", "list_attached_role_policies", RoleName=name)["AttachedPolicies"]
        has = any(each["PolicyArn"] == POLICY for each in attached)
        self.note("role", name, role, f"for ec2, {'with' if has else 'without'} AmazonSSMManagedInstanceCore")

    def _profile(self) -> None:
        name = stack_name(self.run)
        found = self.cloud.ask("iam", "get_instance_profile", InstanceProfileName=name, allowed=["NoSuchEntity"])
        if profile := found.get("InstanceProfile"):
            has = any(role["RoleName"] == name for role in profile["Roles"])
            self.note("profile", name, profile, f"{'with' if has else 'without'} role")

    def _bucket(self) -> None:
        name = stack_name(self.run)
        missing = ["NoSuchBucket", "404", "NoSuchTagSet"]
        tagging = self.cloud.ask("s3", "get_bucket_tagging", Bucket=name, allowed=missing)
        located = self.cloud.ask("s3", "get_bucket_location", Bucket=name, allowed=missing)
        if not located:
            return
        none = ["NoSuchPublicAccessBlockConfiguration"]
        block = self.cloud.ask("s3", "get_public_access_block", Bucket=name, allowed=none)
        expiry = self.cloud.ask(
            "s3", "get_bucket_lifecycle_configuration", Bucket=name, allowed=["NoSuchLifecycleConfiguration"]
        )
        private = all((block.get("PublicAccessBlockConfiguration") or {"": False}).values())
        told = f"{'private' if private else 'public'}, {'expiring' if expiry.get('Rules') else 'lasting'}"
        self.note("bucket", name, tagging, told)


def _rules(permission: Thing, group: str) -> list[str]:
    """One permission as lines like those of ``desired.rules``."""
    protocol = {"-1": "all"}.get(permission["IpProtocol"], permission["IpProtocol"])
    low, high = permission.get("FromPort", -1), permission.get("ToPort", -1)
    ports = "all" if low in (-1, None) else f"{low}-{high}"
    sources = [each["CidrIp"] for each in permission.get("IpRanges", ())]
    sources += [
        "group" if p.get("GroupId") == group else str(p.get("GroupId")) for p in permission.get("UserIdGroupPairs", ())
    ]
    return [f"{protocol} {ports} from {source}" for source in sources]
