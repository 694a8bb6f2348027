"""Endpoints of Systems Manager and S3 within a VPC: what they are made of, changed to, and when they are up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hopscope.aws.cloud import Cloud
from hopscope.aws.desired import Fact
from hopscope.errors import EnvironmentFault
from hopscope.lab.wait import wait_until

UP_SECONDS = 600.0
PARAMETERS = {"subnet": "SubnetIds", "groups": "SecurityGroupIds", "tables": "RouteTableIds"}


class Endpoints:
    """``ids`` are names in AWS by our keys, and grow as things are made; ``facts`` say what endpoints should have."""

    def __init__(self, cloud: Cloud, ids: Mapping[str, str], facts: Sequence[Fact]) -> None:
        self._cloud, self._ids, self._facts = cloud, ids, facts

    def given(self, fact: Fact) -> dict[str, Any]:
        """The parameters of the call that makes it."""
        kind, _, service = fact.wanted.partition(" of ")
        aspects = ("tables",) if kind == "gateway" else ("subnet", "groups")
        return {
            "VpcId": self._ids["vpc"],
            "VpcEndpointType": kind.capitalize(),
            "ServiceName": f"com.amazonaws.{self._cloud.region}.{service}",
            **{PARAMETERS[aspect]: self._wanted(fact.key, aspect) for aspect in aspects},
            **({} if kind == "gateway" else {"PrivateDnsEnabled": True}),
        }

    def set(self, fact: Fact) -> None:
        """Exactly the subnet, the groups or the tables that it should have."""
        name, endpoint = PARAMETERS[fact.aspect], self._look(fact)
        groups = [each["GroupId"] for each in endpoint.get("Groups", ())]
        there = set(groups if fact.aspect == "groups" else endpoint.get(name, ()))
        wanted = set(self._wanted(fact.key, fact.aspect))
        changes = {f"Add{name}": sorted(wanted - there), f"Remove{name}": sorted(there - wanted)}
        given = {key: identities for key, identities in changes.items() if identities}
        self._cloud.ask("ec2", "modify_vpc_endpoint", VpcEndpointId=self._ids[fact.key], **given)

    def await_state(self, fact: Fact) -> None:
        """It comes up by itself, in a minute or two. EnvironmentFault where it does not."""

        def up() -> bool:
            endpoint = self._look(fact)
            state = endpoint["State"].lower()
            if state not in ("available", "pending"):
                why = endpoint.get("LastError", {}).get("Message", "no reason was given")
                raise EnvironmentFault(f"{fact.key} is {state}: {why}")
            return bool(state == "available")

        wait_until(up, timeout=UP_SECONDS, interval=self._cloud.pace.longest, what=f"{fact.key} to come up")

    def _look(self, fact: Fact) -> dict[str, Any]:
        told = self._cloud.ask("ec2", "describe_vpc_endpoints", VpcEndpointIds=[self._ids[fact.key]])
        return dict(told["VpcEndpoints"][0])

    def _wanted(self, key: str, aspect: str) -> list[str]:
        (wanted,) = (fact.wanted for fact in self._facts if (fact.key, fact.aspect) == (key, aspect))
        return [self._ids[each] for each in wanted.split(", ")]
