"""What happens to stacks on EC2, and in which line of an audit it has to show up."""

from __future__ import annotations

from collections.abc import Callable

from hopscope.aws.desired import TAG
from hopscope.aws.repair import Stack


class Vandal:
    """What happens to stacks. Each is named after the line that it has to show up in."""

    def __init__(self, stack: Stack) -> None:
        self.ec2 = stack.cloud.clients["ec2"]
        self.iam = stack.cloud.clients["iam"]
        self.s3 = stack.cloud.clients["s3"]
        self.ids = stack.look().ids
        self.group = self.ids["group"]

    def revoke(self, protocol: str) -> None:
        (group,) = self.ec2.describe_security_groups(GroupIds=[self.group])["SecurityGroups"]
        gone = [each for each in group["IpPermissions"] if each["IpProtocol"] == protocol]
        self.ec2.revoke_security_group_ingress(GroupId=self.group, IpPermissions=gone)

    def narrow(self) -> None:
        self.revoke("tcp")
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.1.0.0/16"}]}
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[rule])

    def no_row(self, subnet: str, destination: str) -> None:
        self.ec2.delete_route(RouteTableId=self.ids[f"table {subnet}"], DestinationCidrBlock=destination)

    def row(self, subnet: str, destination: str, eni: str) -> None:
        self.ec2.replace_route(
            RouteTableId=self.ids[f"table {subnet}"],
            DestinationCidrBlock=destination,
            NetworkInterfaceId=self.ids[f"eni {eni}"],
        )

    def checked(self, eni: str) -> None:
        self.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self.ids[f"eni {eni}"], SourceDestCheck={"Value": True}
        )

    def other_group(self, eni: str) -> None:
        other = self.ec2.create_security_group(GroupName=f"other-{eni}", Description="x", VpcId=self.ids["vpc"])[
            "GroupId"
        ]
        self.ec2.modify_network_interface_attribute(NetworkInterfaceId=self.ids[f"eni {eni}"], Groups=[other])

    def apart(self, subnet: str, *, elsewhere: bool) -> None:
        (table,) = self.ec2.describe_route_tables(RouteTableIds=[self.ids[f"table {subnet}"]])["RouteTables"]
        (association,) = [a["RouteTableAssociationId"] for a in table["Associations"] if not a.get("Main")]
        if elsewhere:
            other = self.ids["table 10.1.2.0/24" if subnet != "10.1.2.0/24" else "table 10.1.0.0/24"]
            self.ec2.replace_route_table_association(AssociationId=association, RouteTableId=other)
        else:
            self.ec2.disassociate_route_table(AssociationId=association)

    def stop(self, host: str) -> None:
        self.ec2.stop_instances(InstanceIds=[self.ids[f"instance {host}"]])

    def end(self, host: str) -> None:
        self.ec2.terminate_instances(InstanceIds=[self.ids[f"instance {host}"]])

    def no_address(self, host: str) -> None:
        (address,) = self.ec2.describe_addresses(AllocationIds=[self.ids[f"address {host}"]])["Addresses"]
        self.ec2.disassociate_address(AssociationId=address["AssociationId"])

    def released(self, host: str) -> None:
        self.no_address(host)
        self.ec2.release_address(AllocationId=self.ids[f"address {host}"])

    def untagged(self, key: str, name: str) -> None:
        self.ec2.delete_tags(Resources=[self.ids[key]], Tags=[{"Key": f"{TAG}{name}"}])

    def old_metadata(self, host: str) -> None:
        self.ec2.modify_instance_metadata_options(InstanceId=self.ids[f"instance {host}"], HttpTokens="optional")

    def no_endpoint(self, service: str) -> None:
        self.ec2.delete_vpc_endpoints(VpcEndpointIds=[self.ids[f"endpoint {service}"]])

    def endpoint(self, service: str, **given: str) -> None:
        changes = {name: [self.ids[key]] for name, key in given.items()}
        self.ec2.modify_vpc_endpoint(VpcEndpointId=self.ids[f"endpoint {service}"], **changes)

    def ungrouped(self, service: str) -> None:
        other = self.ec2.create_security_group(GroupName=f"other-{service}", Description="x", VpcId=self.ids["vpc"])
        self.ec2.modify_vpc_endpoint(
            VpcEndpointId=self.ids[f"endpoint {service}"],
            AddSecurityGroupIds=[other["GroupId"]],
            RemoveSecurityGroupIds=[self.group],
        )

    def nameless(self) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self.ids["vpc"], EnableDnsHostnames={"Value": False})

    def off_line(self) -> None:
        self.ec2.detach_internet_gateway(InternetGatewayId=self.ids["gateway"], VpcId=self.ids["vpc"])

    def powerless(self) -> None:
        (policy,) = self.iam.list_attached_role_policies(RoleName=self.ids["role"])["AttachedPolicies"]
        self.iam.detach_role_policy(RoleName=self.ids["role"], PolicyArn=policy["PolicyArn"])

    def public(self) -> None:
        self.s3.delete_public_access_block(Bucket=self.ids["bucket"])

    def no_bucket(self) -> None:
        self.s3.delete_bucket(Bucket=self.ids["bucket"])


CLIENT, MIDDLE, SERVER = "10.1.0.0/24", "10.1.1.0/24", "10.1.2.0/24"
Sabotage = tuple[Callable[[Vandal], None], str, str]
"""What is done, the line that it shows in, and words of the effect."""
SABOTAGES: dict[str, Sabotage] = {
    "service rule gone": (lambda v: v.revoke("tcp"), "group: rule service", "time out"),
    "service rule narrow": (Vandal.narrow, "group: rule service", "time out"),
    "icmp rule gone": (lambda v: v.revoke("icmp"), "group: rule icmp", "large segments vanish"),
    "members rule gone": (lambda v: v.revoke("-1"), "group: rule members", "another host's address"),
    "client row gone": (lambda v: v.no_row(CLIENT, SERVER), f"table {CLIENT}: route {SERVER}", "past clientnic"),
    "middle row gone": (
        lambda v: v.no_row(MIDDLE, SERVER),
        f"table {MIDDLE}: route {SERVER}",
        "past servernic",
    ),
    "middle row back gone": (lambda v: v.no_row(MIDDLE, CLIENT), f"table {MIDDLE}: route {CLIENT}", "past clientnic"),
    "server row gone": (lambda v: v.no_row(SERVER, CLIENT), f"table {SERVER}: route {CLIENT}", "past servernic"),
    "middle row to the far side of ServerNIC": (
        lambda v: v.row(MIDDLE, SERVER, "servernic:eth1"),
        f"table {MIDDLE}: route {SERVER}",
        "past servernic",
    ),
    "client row to the far side of ClientNIC": (
        lambda v: v.row(CLIENT, SERVER, "clientnic:eth1"),
        f"table {CLIENT}: route {SERVER}",
        "past clientnic",
    ),
    "middle row to the wrong box": (
        lambda v: v.row(MIDDLE, SERVER, "clientnic:eth1"),
        f"table {MIDDLE}: route {SERVER}",
        "past servernic",
    ),
    "way out gone": (lambda v: v.no_row(SERVER, "0.0.0.0/0"), f"table {SERVER}: route 0.0.0.0/0", "Systems Manager"),
    "check on at ClientNIC's client side": (
        lambda v: v.checked("clientnic:eth0"),
        "eni clientnic:eth0: source/dest check",
        "drops what clientnic forwards",
    ),
    "check on at ClientNIC's middle": (
        lambda v: v.checked("clientnic:eth1"),
        "eni clientnic:eth1: source/dest check",
        "drops what clientnic forwards",
    ),
    "check on at ServerNIC's middle": (
        lambda v: v.checked("servernic:eth0"),
        "eni servernic:eth0: source/dest check",
        "drops what servernic forwards",
    ),
    "check on at ServerNIC's server side": (
        lambda v: v.checked("servernic:eth1"),
        "eni servernic:eth1: source/dest check",
        "drops what servernic forwards",
    ),
    "another group": (lambda v: v.other_group("server:eth0"), "eni server:eth0: groups", "filtered by other rules"),
    "table taken off": (lambda v: v.apart(MIDDLE, elsewhere=False), f"table {MIDDLE}: subnet", "bypassed"),
    "table of another subnet": (lambda v: v.apart(CLIENT, elsewhere=True), f"table {CLIENT}: subnet", "bypassed"),
    "host stopped": (lambda v: v.stop("server"), "instance server: state", "answers nothing"),
    "host gone": (lambda v: v.end("client"), "instance client: exists", "no host client"),
    "address taken off": (lambda v: v.no_address("clientnic"), "address clientnic: interface", "Systems Manager"),
    "address given back": (lambda v: v.released("server"), "address server: exists", "Systems Manager"),
    "metadata without tokens": (lambda v: v.old_metadata("servernic"), "instance servernic: metadata", "IMDSv1"),
    "no end told": (lambda v: v.untagged("vpc", "expires"), "vpc: tags", "not reaped"),
    "gateway taken off": (Vandal.off_line, "gateway: exists", "Systems Manager"),
    "role without its policy": (Vandal.powerless, "role: exists", "cannot register"),
    "bucket opened": (Vandal.public, "bucket: exists", "pieces"),
    "bucket gone": (Vandal.no_bucket, "bucket: exists", "pieces"),
}
OF_ENDPOINTS: dict[str, Sabotage] = {
    "endpoint gone": (lambda v: v.no_endpoint("ssm"), "endpoint ssm: exists", "Systems Manager"),
    "endpoint in a subnet behind a box": (
        lambda v: v.endpoint("ssmmessages", AddSubnetIds=f"subnet {SERVER}", RemoveSubnetIds="subnet 10.1.3.0/28"),
        "endpoint ssmmessages: subnet",
        "a box or a table of a link is on the way",
    ),
    "endpoint of another group": (
        lambda v: v.ungrouped("ec2messages"),
        "endpoint ec2messages: groups",
        "Systems Manager",
    ),
    "no way to S3 from one subnet": (
        lambda v: v.endpoint("s3", RemoveRouteTableIds=f"table {CLIENT}"),
        "endpoint s3: tables",
        "no tools",
    ),
    "VPC without names": (Vandal.nameless, "vpc: names", "the endpoints have no names"),
}
"""Of a stack without a way out."""
