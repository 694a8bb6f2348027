"""Hosts on EC2, reached by Systems Manager: built for the session, found by their tags, or of a stack made elsewhere.

With ``doubles`` there is no cloud: the control plane is moto's, and what an instance does is done by a host of a lab on
this machine, reached in the same way. Without it ``aws`` means AWS.
"""

from __future__ import annotations

import getpass
import secrets
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hopscope.aws import guards, quotas, takedown
from hopscope.aws.actual import access_of, stack_name
from hopscope.aws.audit import Actual, Status
from hopscope.aws.cloud import Cloud, connect
from hopscope.aws.desired import ADDRESSES, ENDPOINTS, RUN, Request, legal
from hopscope.aws.guest_facts import ONLINE
from hopscope.aws.guests import agents, hands, in_aws
from hopscope.aws.repair import Stack
from hopscope.errors import EnvironmentFault, HopscopeError, LabFailed, UsageError
from hopscope.lab.lab import Lab
from hopscope.lab.state import LABS
from hopscope.lab.wait import wait_until
from hopscope.model.inventory import Inventory, InventoryHost
from hopscope.model.topology import Topology
from hopscope.providers.inventory import Finding
from hopscope.providers.lease import TTL_SECONDS
from hopscope.providers.netns import NetnsProvider

if TYPE_CHECKING:
    from hopscope.aws.doubles.cloud import Doubles

SOURCES = ("build", "find", "adopt")
HOURS = 2.0
REGISTERED_SECONDS = 300.0


class AwsProvider:
    """``source`` says where the stack comes from; ``run`` is its name (of ``find``), or the VPC's id (of ``adopt``)."""

    def __init__(
        self,
        *,
        doubles: bool = False,
        source: str = "build",
        run: str | None = None,
        hours: float = HOURS,
        max_usd: float = guards.MAX_USD,
        instance_type: str = "c6i.large",
        region: str | None = None,
        access: str | None = None,
    ) -> None:
        if source not in SOURCES:
            raise UsageError(f"source {source!r}: must be one of {', '.join(SOURCES)}")
        if source != "build" and run is None:
            raise UsageError(f"source {source} needs to know which: --lab-aws-run NAME (of adopt: the id of the VPC)")
        if doubles and source != "build":
            raise UsageError("the doubles of AWS are empty: there is nothing to find or adopt; build")
        if access not in (None, ADDRESSES, ENDPOINTS):
            raise UsageError(f"access {access!r}: must be {ADDRESSES} or {ENDPOINTS}")
        if access is not None and source != "build":
            raise UsageError("how hosts reach Systems Manager is said where a stack is built: --lab-source build")
        self._access = access
        self._doubles, self._source, self._run, self._region = doubles, source, run, region
        self._hours, self._max_usd, self._instance_type = hours, max_usd, instance_type
        self._say: Callable[[str], None] = lambda text: None

    def acquire(self, topology: Topology, *, directory: Path = LABS, name: str | None = None) -> Lab:
        """The topology on instances. Raises EnvironmentFault; what was built is taken down then."""
        topology = legal(topology)
        request = self._request(topology, name)
        if self._source == "build":
            guards.check(topology, request, self._max_usd)
        with ExitStack() as ends:
            doubles = None
            if self._doubles:
                from hopscope.aws.doubles.cloud import Doubles

                doubles = ends.enter_context(Doubles())
            cloud = doubles.cloud if doubles is not None else connect(self._region)
            if self._source != "adopt":
                request = replace(request, access=access_of(cloud, request.run, self._access))
            stack = Stack(cloud, topology, request, vpc=self._run if self._source == "adopt" else None)
            if self._source == "build":
                quotas.check(cloud, topology, request, stack.look())
                ends.push(_TakingDown(cloud, request.run))
                actual = stack.build(self._say)
            else:
                actual = _sound(stack)
            own = directory.absolute() / (name or request.run)
            own.mkdir(parents=True)
            ends.callback(shutil.rmtree, own, ignore_errors=True)
            if doubles is not None:
                doubles.control.sweep(own)
                _populate(doubles, topology, actual, own)
            bucket = stack_name(request.run) if "bucket" in actual.ids else None
            return _found(cloud, topology, actual, own, bucket, ends)

    def release(self, lab: Lab) -> None:
        lab.close()

    def leaks(self) -> list[str]:
        """Runs whose time is over; those of doubles end with their process."""
        if self._doubles:
            return []
        return [f"run {run} has expired (hopscope aws reap)" for run in takedown.expired(connect(self._region))]

    def _request(self, topology: Topology, name: str | None) -> Request:
        run = self._run or (name or f"{topology.name}-{secrets.token_hex(4)}").lower()
        if self._source != "adopt" and not RUN.fullmatch(run):
            raise UsageError(f"{run!r} is no name for a run: lower-case letters, digits and dashes, at most 41")
        expires = datetime.now(UTC) + timedelta(hours=self._hours)
        return Request(run, getpass.getuser(), expires, self._instance_type, access=self._access or ADDRESSES)


class _TakingDown:
    """The end of a stack that was built for a session. What failed before is what people need to see first."""

    def __init__(self, cloud: Cloud, run: str) -> None:
        self._cloud, self._run = cloud, run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            takedown.take_down(self._cloud, self._run)
        except EnvironmentFault as left:
            if error is None:
                raise
            if isinstance(error, HopscopeError):
                error.evidence = "\n".join(filter(None, [error.evidence, left.message, left.evidence]))
            else:
                error.add_note(str(left))


def _sound(stack: Stack) -> Actual:
    """A stack that is there has to be as it should be; whoever wants it mended asks for that."""
    wrong = [line for line in stack.audit() if line.status in (Status.DRIFT, Status.MANUAL) and line.aspect != "tags"]
    if wrong:
        raise EnvironmentFault(
            f"stack {stack.request.run} is not as it should be: {len(wrong)} line(s); hopscope aws repair mends it",
            evidence="\n".join(map(str, wrong)),
        )
    return stack.look()


def _populate(doubles: Doubles, topology: Topology, actual: Actual, directory: Path) -> None:
    plane = doubles.plane(topology, actual)
    lab = NetnsProvider().acquire(plane, directory=directory / "doubles", name="plane", offloads=True)
    doubles.populate(lab, actual, directory / "agents")


def _found(
    cloud: Cloud, topology: Topology, actual: Actual, directory: Path, bucket: str | None, ends: ExitStack
) -> Lab:
    """The lab of a stack whose instances have registered. What ``ends`` holds ends with it."""
    instances = {host.name: actual.ids[f"instance {host.name}"] for host in topology.hosts}
    _registered(cloud, list(instances.values()))
    seen = in_aws(cloud, topology, actual)
    inventory = Inventory(
        hosts={
            host.name: InventoryHost(
                address=instances[host.name], ports={port.name: str(port.mac) for port in host.ports}
            )
            for host in seen.hosts
        }
    )
    hosts = hands(cloud, instances, bucket, directory)
    try:
        finding = Finding(topology, inventory, directory, hosts, TTL_SECONDS)
        finding.routed = True
        kept = ExitStack()
        finding.first = lambda lab: lab.on_close(kept.close)
        lab = finding.lab()
    except BaseException:
        for executor in hosts.values():
            executor.close()
        raise
    kept.push(ends.pop_all())
    return lab


def _registered(cloud: Cloud, instances: list[str]) -> None:
    """Wait for the agents. LabFailed with those that do not come."""

    def missing() -> list[str]:
        return [instance for instance, state in agents(cloud, instances).items() if state != ONLINE]

    try:
        wait_until(
            partial(lambda: not missing()), timeout=REGISTERED_SECONDS, interval=cloud.pace.longest, what="all agents"
        )
    except EnvironmentFault:
        raise LabFailed(
            f"not registered with Systems Manager after {REGISTERED_SECONDS:g} s: {', '.join(missing())}; they "
            "need the agent, their role and a way to the endpoints"
        ) from None
