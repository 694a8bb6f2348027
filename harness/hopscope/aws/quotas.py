"""Is there room in the account for what a stack still lacks? Asked before anything is made.

Limits are those of Service Quotas; what is in use is counted. A limit that may not be looked at, or that nobody knows,
keeps nobody from building: EC2 itself refuses then, and what was made until then is found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hopscope.aws.audit import Actual
from hopscope.aws.cloud import Cloud
from hopscope.aws.desired import ENDPOINTS, Request
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.model.topology import Topology

VCPUS = {"small": 2, "medium": 2, "large": 2, "xlarge": 4}
"""By the size of an instance type, of those that have a price."""
QUOTAS = {
    "vpcs": ("VPCs", "vpc", "L-F678F1CE"),
    "endpoints": ("gateway endpoints", "vpc", "L-1B52E74A"),
    "gateways": ("internet gateways", "vpc", "L-A4707A72"),
    "addresses": ("elastic addresses", "ec2", "L-0263D0A3"),
    "vcpus": ("vCPUs of standard instances", "ec2", "L-1216C47A"),
}
"""By what is needed: in words, and the service and code at Service Quotas."""
COUNTED = {
    "vpcs": "describe_vpcs",
    "gateways": "describe_internet_gateways",
    "addresses": "describe_addresses",
}
RUNNING = ["pending", "running", "stopping", "shutting-down"]


@dataclass(frozen=True)
class Quota:
    """``service`` and ``code`` are its names at Service Quotas. ``limit`` is None where it is not known (``why``)."""

    name: str
    service: str
    code: str
    used: int
    needed: int
    limit: int | None = None
    why: str = ""

    @property
    def short(self) -> bool:
        return self.limit is not None and self.used + self.needed > self.limit

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.name}: {self.needed} needed, {self.used} in use; limit not known: {self.why}"
        text = f"{self.name}: {self.needed} needed, {self.used} of {self.limit} in use"
        return f"{text}; ask for more: Service Quotas, {self.service} {self.code}" if self.short else text


def vcpus(instance_type: str) -> int:
    size = instance_type.partition(".")[2]
    if size not in VCPUS:
        raise UsageError(f"instance type {instance_type!r}: sizes are {', '.join(VCPUS)}")
    return VCPUS[size]


def needs(topology: Topology, request: Request, actual: Actual) -> dict[str, int]:
    """What is still to be made, by the kind of quota: pure."""
    missing = [host.name for host in topology.hosts if f"instance {host.name}" not in actual.ids]
    private = request.access == ENDPOINTS
    without = 0 if private else sum(f"address {host.name}" not in actual.ids for host in topology.hosts)
    return {
        "vpcs": int("vpc" not in actual.ids),
        "endpoints": int(private and "endpoint s3" not in actual.ids),
        "gateways": int(not private and "gateway" not in actual.ids),
        "addresses": without,
        "vcpus": sum(vcpus(request.type_of(name)) for name in missing),
    }


def look(cloud: Cloud, needed: Mapping[str, int]) -> list[Quota]:
    """Limits and use, of what is needed at all."""
    found = []
    for kind, (name, service, code) in QUOTAS.items():
        if needed[kind]:
            limit, why = _limit(cloud, service, code)
            found.append(Quota(name, service, code, _used(cloud, kind), needed[kind], limit, why))
    return found


def _used(cloud: Cloud, kind: str) -> int:
    if kind == "endpoints":
        return len(cloud.listed("describe_vpc_endpoints", vpc_endpoint_type="Gateway"))
    if kind in COUNTED:
        return len(cloud.listed(COUNTED[kind]))
    cores = [each.get("CpuOptions", {}) for each in cloud.instances(instance_state_name=RUNNING)]
    return sum(int(each.get("CoreCount", 1)) * int(each.get("ThreadsPerCore", 2)) for each in cores)


def check(cloud: Cloud, topology: Topology, request: Request, actual: Actual) -> list[Quota]:
    """What was looked at. EnvironmentFault where there is no room, with all that is short."""
    quotas = look(cloud, needs(topology, request, actual))
    short = [quota for quota in quotas if quota.short]
    if short:
        raise EnvironmentFault(
            f"the account has no room for {request.run} in {cloud.region}: nothing was made",
            evidence="\n".join(map(str, short)),
        )
    return quotas


def _limit(cloud: Cloud, service: str, code: str) -> tuple[int | None, str]:
    try:
        answer = cloud.ask(
            "service-quotas",
            "get_service_quota",
            allowed=["NoSuchResourceException"],
            ServiceCode=service,
            QuotaCode=code,
        )
    except EnvironmentFault as error:
        return None, error.message
    if "Quota" not in answer:
        return None, "the account has none of its own"
    return int(answer["Quota"]["Value"]), ""
