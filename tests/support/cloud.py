"""The doubles of AWS for tests: boto3 sees loopback and invented credentials, or nothing."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hopscope import data
from hopscope.aws.doubles.agent import Agent
from hopscope.aws.doubles.control import Control
from hopscope.aws.doubles.ssm import SsmDouble
from hopscope.hosts import ssm_command
from hopscope.hosts.executor import Executor
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.ssm import SsmExecutor
from hopscope.hosts.ssm_command import Pace
from hopscope.lab.lab import Lab
from hopscope.providers.netns import NetnsProvider

REGION = "eu-central-1"
BUCKET = "hopscope-transfers"
PACE = Pace(first=0.03, longest=0.1, patience=10.0)
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens at the discard port: what finds its way there fails at once."""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDOUBLE",
    "AWS_SECRET_ACCESS_KEY": "of-nobody",
    "AWS_DEFAULT_REGION": REGION,
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
            agent = Agent(f"i-{name}", host, REGION, directory / "agents" / name)  # type: ignore[arg-type]
            lab.on_close(agent.close)
            agents[agent.instance] = agent
        double = SsmDouble(lambda: agents)
        lab.on_close(double.close)
        with no_cloud(AWS_ENDPOINT_URL_SSM=double.url):
            yield lab, agents, double


def hands(instance: str, logs: Path, *, s3: Any = None, ttl: float = 60.0) -> SsmExecutor:
    """Of an instance whose service is in the environment."""
    api = replace(ssm_command.connect(pace=PACE), s3=s3, bucket=BUCKET if s3 else None)
    directory = Path(f"/tmp/hopscope-{secrets.token_hex(6)}")
    return SsmExecutor(instance.removeprefix("i-"), instance, api, directory, logs, ttl=ttl)


@contextmanager
def bucket(host: Executor, logs: Path) -> Iterator[dict[str, Any]]:
    """An empty bucket that ``host`` can reach, as an argument for ``hands``."""
    control = Control()
    try:
        with control.door(host, logs / "door"), no_cloud(AWS_ENDPOINT_URL_S3=control.url):  # type: ignore[arg-type]
            s3 = ssm_command.connect(bucket=BUCKET).s3
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            yield {"s3": s3}
    finally:
        control.close()


def executor(host: str, lab: Lab, logs: Path) -> SsmExecutor:
    """Hands by way of an agent, a service and a bucket that end with the lab."""
    inside = lab.hosts[host]
    assert isinstance(inside, NetnsExecutor)
    agent = Agent(f"i-{host}", inside, REGION, logs.parent / f"agent-{host}")
    lab.on_close(agent.close)
    double = SsmDouble(lambda: {agent.instance: agent})
    double.weather.answer_seconds = 1.0
    lab.on_close(double.close)
    given = lab.enter(bucket(inside, logs))
    with no_cloud(AWS_ENDPOINT_URL_SSM=double.url):
        return hands(agent.instance, logs, **given)


def readable(script: str) -> str:
    """With what is base64 in it in clear."""
    words = re.findall(r"[A-Za-z0-9+/=]{16,}", script)
    return script + "".join(base64.b64decode(word).decode(errors="replace") for word in words if len(word) % 4 == 0)


def client(service: str, **given: Any) -> Any:
    import boto3

    return boto3.session.Session().client(service, **given)
