"""All doubles together: moto's control plane, Run Command, and a local lab as the data plane.

Instances are moto's. What they do is done by the hosts of a lab that is built from moto's own description of the stack:
its interfaces' addresses and MACs. An instance has an agent while moto says that it runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from hopscope.aws import cloud
from hopscope.aws.audit import Actual
from hopscope.aws.cloud import Cloud
from hopscope.aws.doubles.agent import Agent
from hopscope.aws.doubles.control import Control
from hopscope.aws.doubles.ssm import SsmDouble
from hopscope.aws.guests import in_aws
from hopscope.errors import UsageError
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.ssm_command import Pace
from hopscope.lab.lab import Lab
from hopscope.model.topology import Topology

STALE_SECONDS = 0.5
ANSWER_SECONDS = 2.0
REGION = "eu-central-1"
PACE = Pace(first=0.03, longest=0.2, patience=30.0)


class Doubles:
    """A cloud of this machine's own. ``cloud`` is its API."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.control = Control()
        self._stack.callback(self.control.close)
        self.agents: dict[str, Agent] = {}
        self._now: set[str] = set()
        self._stale = 0.0
        self.ssm = SsmDouble(self._running, beyond=self.control.url)
        self._stack.callback(self.ssm.close)
        self.ssm.weather.answer_seconds = ANSWER_SECONDS
        endpoints = dict.fromkeys(cloud.SERVICES, self.control.url) | {"ssm": self.ssm.url}
        self.cloud: Cloud = cloud.connect(REGION, pace=PACE, endpoints=endpoints)

    def populate(self, lab: Lab, actual: Actual, directory: Path) -> None:
        """Have the hosts of a lab be the instances of a stack; the lab ends with the doubles."""
        self._stack.callback(lab.close)
        for name, host in lab.hosts.items():
            if not isinstance(host, NetnsExecutor) or host.own_user_namespace:
                raise UsageError("the doubles of instances need a lab built by root")
            self.control.door(host, directory / name)
            agent = Agent(actual.ids[f"instance {name}"], host, REGION, directory / name)
            self._stack.callback(agent.close)
            self.agents[agent.instance] = agent

    def plane(self, topology: Topology, actual: Actual) -> Topology:
        """The topology with the addresses and MACs that the interfaces of the stack have."""
        return in_aws(self.cloud, topology, actual)

    def forget(self) -> None:
        """Ask moto anew which instances run."""
        self._stale = 0.0

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> Mapping[str, Agent]:
        """Asked for by every command: what moto said is good for half a second."""
        if time.monotonic() >= self._stale:
            found = self.cloud.instances(instance_state_name="running")
            self._now = {each["InstanceId"] for each in found}
            self._stale = time.monotonic() + STALE_SECONDS
        return {instance: agent for instance, agent in self.agents.items() if instance in self._now}
