"""The CloudFormation that makes a repair permanent, for stacks made by a template: pure, lines in, resources out.

What we change by the API a template's next deployment would change back. CDK takes the same by ``CfnInclude`` or as
``CfnRoute`` and so on, property by property.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hopscope.aws.audit import Actual, Line, Status

Resource = dict[str, Any]


def fragment(lines: Iterable[Line], actual: Actual) -> dict[str, Any]:
    """A template with a resource for each line that had drifted; of those that a template can hold."""
    resources = {}
    for line in lines:
        if line.status not in (Status.OK, Status.UNKNOWN):
            resource = _resource(line, actual)
            if resource is not None:
                resources[_name(line)] = resource
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _name(line: Line) -> str:
    """A logical id: letters and digits."""
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", f"{line.key} {line.aspect}"))


def _resource(line: Line, actual: Actual) -> Resource | None:
    kind, aspect = line.key.partition(" ")[0], line.aspect
    identity = actual.ids.get(line.key, "")
    if kind == "table" and aspect.startswith("route "):
        target = actual.ids.get(line.wanted)
        destination = aspect.partition(" ")[2]
        way = {"RouteTableId": identity, "DestinationCidrBlock": destination, "NetworkInterfaceId": target}
        return {"Type": "AWS::EC2::Route", "Properties": way} if target else None
    if kind == "table" and aspect == "subnet":
        pair = {"RouteTableId": identity, "SubnetId": actual.ids.get(line.wanted)}
        return {"Type": "AWS::EC2::SubnetRouteTableAssociation", "Properties": pair}
    if kind == "group" and aspect.startswith("rule "):
        return {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": _rule(line.wanted, identity)}
    if kind == "eni" and aspect == "source/dest check":
        subnet = actual.seen.get((line.key, "exists"), "").partition(" in ")[2]
        return {
            "Type": "AWS::EC2::NetworkInterface",
            "Properties": {"SubnetId": actual.ids.get(subnet), "SourceDestCheck": False},
            "Metadata": {"Replaces": identity},
        }
    return None


def _rule(rule: str, group: str) -> Resource:
    protocol, ports, _, source = rule.split()
    low, _, high = ports.partition("-")
    found: Resource = {"GroupId": group, "IpProtocol": "-1" if protocol == "all" else protocol}
    if protocol != "all":
        found |= {"FromPort": -1, "ToPort": -1} if ports == "all" else {"FromPort": int(low), "ToPort": int(high)}
    return found | ({"SourceSecurityGroupId": group} if source == "group" else {"CidrIp": source})
