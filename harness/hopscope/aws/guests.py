"""The hosts of a stack from inside, by Systems Manager: looked at, mended and read back."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hopscope.aws import guest_facts
from hopscope.aws.actual import stack_name
from hopscope.aws.audit import Actual, Line, Status, after_repair, audit
from hopscope.aws.cloud import Cloud
from hopscope.aws.desired import Fact, eni_key, with_ports
from hopscope.aws.guest_facts import ONLINE, agent_key, guest_key, own
from hopscope.aws.repair import ROUNDS, Say, Stack
from hopscope.errors import EnvironmentFault, HopscopeError, LabFailed, WaitTimeout
from hopscope.hosts.ssm import SsmExecutor
from hopscope.lab.looked import survey, ways
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Topology

A = TypeVar("A")
T = TypeVar("T")
NOT_REGISTERED = "not registered"
AGENT_SECONDS = 180.0
"""From a start of an instance until its agent is heard of."""


def in_aws(cloud: Cloud, topology: Topology, actual: Actual) -> Topology:
    """The topology with the addresses and MACs that the interfaces of a stack have."""
    wanted = [actual.ids[eni_key(port)] for port in topology.ports]
    listed = cloud.listed("describe_network_interfaces", network_interface_id=wanted)
    enis = {each["NetworkInterfaceId"]: each for each in listed}
    ports = {}
    for port in topology.ports:
        eni = enis[actual.ids[eni_key(port)]]
        address = IPv4Interface(f"{eni['PrivateIpAddress']}/{own(port).network.prefixlen}")
        ports[port.key] = port.model_copy(update={"addresses": (address,), "mac": eni["MacAddress"].lower()})
    return with_ports(topology, ports)


def agents(cloud: Cloud, instances: Iterable[str]) -> dict[str, str]:
    """The agent of each instance: ``online``, ``not registered``, or what Systems Manager calls it."""
    asked = list(instances)
    filters = [{"Key": "InstanceIds", "Values": asked}]
    listed = cloud.ask("ssm", "describe_instance_information", Filters=filters)["InstanceInformationList"]
    told = {each["InstanceId"]: str(each["PingStatus"]) for each in listed}
    return {each: ONLINE if told.get(each) == "Online" else told.get(each, NOT_REGISTERED) for each in asked}


def hands(cloud: Cloud, instances: Mapping[str, str], bucket: str | None, logs: Path) -> dict[str, SsmExecutor]:
    """Executors of instances, both by the names of their hosts."""
    api = cloud.commands(bucket)
    return {
        name: SsmExecutor(
            name,
            instance,
            api,
            Path(f"/tmp/hopscope-{secrets.token_hex(8)}"),  # noqa: S108  a name that is not to be guessed
            logs / name,
        )
        for name, instance in instances.items()
    }


@dataclass
class _Inside:
    """What was seen, and what is needed to change it."""

    topology: Topology
    facts: tuple[Fact, ...] = ()
    actual: Actual = field(default_factory=Actual)
    surveys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Guests:
    """Of a stack that is there; ``close`` leaves nothing of ours on them. ``logs`` is a directory of ours."""

    def __init__(self, stack: Stack, logs: Path) -> None:
        self._stack, self._logs = stack, logs
        self._hands: dict[str, SsmExecutor] = {}

    def audit(self) -> tuple[Line, ...]:
        inside = self._look()
        return self._lines(inside)

    def repair(self, say: Say = lambda text: None, *, patience: float = AGENT_SECONDS) -> tuple[Line, ...]:
        """Mend what a command mends, and read it back. ``patience`` is for agents of instances that have just begun."""
        self._await_agents(patience)
        inside = self._look()
        before = lines = self._lines(inside)
        said: dict[str, str] = {}
        for _ in range(ROUNDS):
            drifted = [line for line in lines if line.status is Status.DRIFT]
            if not drifted:
                break
            said = self._mend(drifted, inside, say)
            inside = self._look()
            lines = self._lines(inside)
            if [line for line in lines if line.status is Status.DRIFT] == drifted:
                break
        told = after_repair(before, lines)
        return tuple(
            replace(line, remedy=said.get(f"{line.key}: {line.aspect}", "")) if line.status is Status.DRIFT else line
            for line in told
        )

    def close(self) -> None:
        """LabFailed with what was not left cleanly."""
        errors = [error for found in _each(self._hands.values(), lambda executor: executor.close()) for error in found]
        self._hands.clear()
        if errors:
            raise LabFailed("guests were not left cleanly", evidence="\n".join(map(str, errors)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _instances(self, actual: Actual) -> dict[str, str]:
        hosts = [host.name for host in self._stack.topology.hosts]
        return {name: actual.ids[f"instance {name}"] for name in hosts if f"instance {name}" in actual.ids}

    def _await_agents(self, patience: float) -> None:
        instances = self._instances(self._stack.look())
        cloud = self._stack.cloud
        try:
            wait_until(
                lambda: set(agents(cloud, instances.values()).values()) <= {ONLINE},
                timeout=patience,
                interval=cloud.pace.longest,
                what="all agents",
            )
        except WaitTimeout:
            return  # the lines say which

    def _look(self) -> _Inside:
        stack, actual = self._stack, self._stack.look()
        missing = [eni_key(port) for port in stack.topology.ports if eni_key(port) not in actual.ids]
        if missing:
            return _Inside(stack.topology)  # the stack's own lines say so
        topology = in_aws(stack.cloud, stack.topology, actual)
        instances = self._instances(actual)
        states = {host.name: "no instance" for host in topology.hosts}
        told = agents(stack.cloud, instances.values())
        states |= {name: told[instance] for name, instance in instances.items()}
        online = {name: instances[name] for name, state in states.items() if state == ONLINE}
        self._reach(online, stack_name(stack.request.run) if "bucket" in actual.ids else None)
        seen = {(agent_key(name), "state"): state for name, state in states.items()}
        unknown = {guest_key(name): f"its agent is {state}" for name, state in states.items() if state != ONLINE}
        surveys = {}
        for name, look in zip(online, _each(online, lambda name: self._inside(topology, name)), strict=True):
            if isinstance(look, HopscopeError):
                unknown[guest_key(name)] = str(look)
            else:
                surveys[name] = look[0]
                seen |= look[1]
        mtu = guest_facts.common_mtu(topology, surveys)
        return _Inside(topology, guest_facts.facts(topology, mtu), Actual({}, seen, unknown=unknown), surveys)

    def _reach(self, online: Mapping[str, str], bucket: str | None) -> None:
        """Hands for those that have none yet, or that another instance has become."""
        new = {
            name: instance
            for name, instance in online.items()
            if name not in self._hands or self._hands[name].instance != instance
        }
        self._hands |= hands(self._stack.cloud, new, bucket, self._logs)

    def _inside(
        self, topology: Topology, name: str
    ) -> tuple[Mapping[str, Any], dict[tuple[str, str], str]] | HopscopeError:
        executor = self._hands[name]
        try:
            look = survey(executor)
            asked = [each for found in guest_facts.destinations(topology, name).values() for each in found]
            told = ways(executor, asked)
        except HopscopeError as error:
            return error
        return look.survey, guest_facts.seen(topology, name, look.survey, told, look.surely_ahead_ns / 1e9)

    def _lines(self, inside: _Inside) -> tuple[Line, ...]:
        """DRIFT where there is a command for it, else MANUAL with what a person has to do."""
        lines = []
        for fact, line in zip(inside.facts, audit(inside.facts, inside.actual), strict=True):
            host = fact.key.partition(" ")[2]
            if line.status is Status.DRIFT and not (
                host in inside.surveys and guest_facts.remedy(inside.topology, fact, inside.surveys[host])
            ):
                line = replace(line, status=Status.MANUAL, remedy=guest_facts.by_hand(fact))
            lines.append(line)
        return tuple(lines)

    # -- mending ------------------------------------------------------------------------------------------------------

    def _mend(self, lines: list[Line], inside: _Inside, say: Say) -> dict[str, str]:
        """What commands that failed have said, by place."""
        said: dict[str, str] = {}
        facts = {(fact.key, fact.aspect): fact for fact in inside.facts}

        def mend(host: str) -> None:
            for line in lines:
                if line.key != guest_key(host):
                    continue
                argv = guest_facts.remedy(inside.topology, facts[line.key, line.aspect], inside.surveys[host])
                assert argv is not None
                say(f"{line.key}: {line.aspect}: {line.wanted}")
                try:
                    self._hands[host].run(argv)
                except EnvironmentFault as error:
                    said[f"{line.key}: {line.aspect}"] = str(error)

        _each(inside.surveys, mend)
        return said


def _each(over: Iterable[A], call: Callable[[A], T]) -> list[T]:
    items = list(over)
    with ThreadPoolExecutor(max(1, len(items))) as pool:
        return list(pool.map(call, items))
