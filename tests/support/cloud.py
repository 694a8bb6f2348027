"""The doubles of AWS for tests: boto3 sees loopback and invented credentials, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.aws.doubles.agent import Agent
from hopscope.aws.doubles.ssm import SsmDouble
from hopscope.lab.lab import Lab
from hopscope.providers.netns import NetnsProvider

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens at the discard port: what finds its way there fails at once."""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDOUBLE",
    "AWS_SECRET_ACCESS_KEY": "of-nobody",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_ENDPOINT_URL": NOWHERE,
}


@contextmanager
def no_cloud(**more: str) -> Iterator[pytest.MonkeyPatch]:
    """The environment of every test that has to do with AWS."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
            patch.delenv(name, raising=False)
        for name, value in (ENVIRONMENT | more).items():
            patch.setenv(name, value)
        yield patch


@contextmanager
def instances(directory: Path, topology: str = "chain-lan") -> Iterator[tuple[Lab, dict[str, Agent], SsmDouble]]:
    """A lab whose hosts are instances with an SSM agent each (``i-HOST``), and the service they talk to."""
    with NetnsProvider().acquire(data.topology(topology), directory=directory) as lab:
        agents: dict[str, Agent] = {}
        for name, host in lab.hosts.items():
            agent = Agent(f"i-{name}", host, "eu-central-1", directory / "agents" / name)  # type: ignore[arg-type]
            lab.on_close(agent.close)
            agents[agent.instance] = agent
        double = SsmDouble(lambda: agents)
        lab.on_close(double.close)
        with no_cloud(AWS_ENDPOINT_URL_SSM=double.url):
            yield lab, agents, double


def client(service: str, **given: Any) -> Any:
    import boto3

    return boto3.session.Session().client(service, **given)
