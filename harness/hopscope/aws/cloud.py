"""The API of AWS by boto3: one way to call it, with pages, eventual consistency and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hopscope.aws.desired import TAG
from hopscope.errors import EnvironmentFault, ToolMissing
from hopscope.hosts.ssm_command import CONNECTIONS, Api, Pace, call
from hopscope.lab.wait import wait_until

APPEARS_SECONDS = 30.0
SERVICES = ("ec2", "iam", "s3", "ssm", "service-quotas")
LISTS = {
    "describe_vpcs": "Vpcs",
    "describe_subnets": "Subnets",
    "describe_internet_gateways": "InternetGateways",
    "describe_security_groups": "SecurityGroups",
    "describe_network_interfaces": "NetworkInterfaces",
    "describe_route_tables": "RouteTables",
    "describe_addresses": "Addresses",
    "describe_volumes": "Volumes",
    "describe_vpc_endpoints": "VpcEndpoints",
}


@dataclass
class Cloud:
    """One account in one region. ``clients`` are those of boto3 by service."""

    clients: Mapping[str, Any]
    region: str
    pace: Pace = field(default_factory=Pace)

    def ask(self, service: str, operation: str, *, allowed: Sequence[str] = (), **given: Any) -> dict[str, Any]:
        """One call. What was made a moment ago may not be known everywhere yet: that is waited for, for half a minute.
        An error in ``allowed`` is an empty answer. Raises EnvironmentFault with a remedy."""
        until = time.monotonic() + APPEARS_SECONDS

        def answer() -> dict[str, Any] | None:
            try:
                told = call(
                    self.clients[service],
                    operation,
                    self.pace,
                    host=None,
                    what=f"{service} {operation}",
                    allowed=tuple(allowed),
                    **given,
                )
                return {"": None, **told}
            except EnvironmentFault as error:
                looks = operation.startswith(("describe_", "get_", "list_"))
                if not _not_yet(error.message) or time.monotonic() >= until or looks:
                    raise
                return None

        found = wait_until(answer, timeout=2 * APPEARS_SECONDS, interval=self.pace.longest, what=operation)
        assert found is not None
        del found[""]
        return found

    def commands(self, bucket: str | None) -> Api:
        """For executors of instances."""
        return Api(self.clients["ssm"], self.clients["s3"] if bucket else None, bucket, pace=self.pace)

    def listed(self, operation: str, **filters: str | list[str]) -> list[dict[str, Any]]:
        """All pages of a listing of EC2, by filters (``tag`` stands for the run's tag; ``_`` for ``-``)."""
        given: dict[str, Any] = {"Filters": _filters(filters)} if filters else {}
        found: list[dict[str, Any]] = []
        while True:
            answer = self.ask("ec2", operation, **given)
            found += answer[LISTS[operation]]
            if not answer.get("NextToken"):
                return found
            given["NextToken"] = answer["NextToken"]

    def instances(self, **filters: str | list[str]) -> list[dict[str, Any]]:
        """Instances that there are or that are being made; those that have ended linger on in listings for an hour."""
        found: list[dict[str, Any]] = []
        given: dict[str, Any] = {"Filters": _filters(filters)}
        while True:
            answer = self.ask("ec2", "describe_instances", **given)
            found += [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
            if not answer.get("NextToken"):
                return found
            given["NextToken"] = answer["NextToken"]


def connect(
    region: str | None = None, *, pace: Pace | None = None, endpoints: Mapping[str, str] | None = None
) -> Cloud:
    """By the usual environment of AWS; or at the ``endpoints`` of doubles by service, with credentials of nobody.

    Raises ToolMissing without boto3, EnvironmentFault without a region.
    """
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.loaders import Loader
    except ImportError as error:
        raise ToolMissing("the provider aws needs boto3: pip install 'hopscope[aws]'") from error
    try:
        nobody = {"aws_access_key_id": "double", "aws_secret_access_key": "double"} if endpoints else {}
        of_botocore = botocore.session.get_session()
        of_botocore.register_component("data_loader", _shared(Loader))
        session = boto3.session.Session(region_name=region, botocore_session=of_botocore, **nobody)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=CONNECTIONS,
        )
        clients = {
            service: session.client(service, config=config, endpoint_url=(endpoints or {}).get(service))
            for service in SERVICES
        }
    except BotoCoreError as error:
        raise EnvironmentFault(f"AWS cannot be reached: {error}; set AWS_REGION and AWS_PROFILE") from error
    return Cloud(clients, str(session.region_name), pace or Pace())


@cache
def _shared(loader: Callable[[], Any]) -> Any:
    """One of a kind: it keeps the descriptions of services that it has read, and that of EC2 takes half a second."""
    return loader()


def tags_of(thing: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags") or thing.get("TagSet") or ()}


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _filters(filters: Mapping[str, str | list[str]]) -> list[dict[str, Any]]:
    found = []
    for name, value in filters.items():
        key = f"tag:{TAG}run" if name == "run" else name.replace("__", ".").replace("_", "-")
        found.append({"Name": key, "Values": [value] if isinstance(value, str) else value})
    return found


def _not_yet(message: str) -> bool:
    """Words of an error about something that was made a moment ago."""
    words = (".NotFound", "NoSuchEntity", "NoSuchBucket", "IamInstanceProfile", "IncorrectInstanceState")
    return any(word in message for word in words)
