"""Stacks of tests on moto's control plane, and what AWS refuses, which moto forgives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from hopscope import data
from hopscope.aws import takedown
from hopscope.aws.cloud import Cloud
from hopscope.aws.desired import ADDRESSES, Request, legal
from hopscope.aws.repair import Stack

RUN = "chain-1a2b3c4d"
CHAIN = legal(data.topology("chain"))


def stack_of(cloud: Cloud, run: str = RUN, *, vpc: str | None = None, access: str = ADDRESSES) -> Stack:
    return Stack(cloud, CHAIN, Request(run, "me", datetime.now(UTC) + timedelta(hours=1), access=access), vpc=vpc)


@contextmanager
def refusing(
    cloud: Cloud, service: str, operation: str, code: str, times: int = 1, *, after: int = 0
) -> Iterator[list[str]]:
    """AWS refuses calls of an operation, before they have had any effect; the first ``after`` of them it does not."""
    seen: list[str] = []
    passed: list[None] = []

    def refuse(**given: Any) -> None:
        if len(passed) < after:
            passed.append(None)
        elif len(seen) < times:
            seen.append(code)
            raise ClientError({"Error": {"Code": code, "Message": "injected"}}, operation)

    events = cloud.clients[service].meta.events
    events.register_first(f"before-call.{service}.{operation}", refuse, unique_id=f"refuse {operation}")
    try:
        yield seen
    finally:
        events.unregister(f"before-call.{service}.{operation}", unique_id=f"refuse {operation}")


class Crash(BaseException):
    """We are gone."""


@contextmanager
def crashing(cloud: Cloud, service: str, operation: str) -> Iterator[list[str]]:
    """We are gone right after the next call of an operation has had its effect."""
    seen: list[str] = []

    def crash(**given: Any) -> None:
        if not seen:
            seen.append(operation)
            raise Crash

    events = cloud.clients[service].meta.events
    events.register_first(f"after-call.{service}.{operation}", crash, unique_id=f"crash {operation}")
    try:
        yield seen
    finally:
        events.unregister(f"after-call.{service}.{operation}", unique_id=f"crash {operation}")


@contextmanager
def recording(cloud: Cloud) -> Iterator[set[tuple[str, str]]]:
    """Service and operation of every call that changes something."""
    seen: set[tuple[str, str]] = set()

    def note(service: str) -> Any:
        def noted(model: Any, **given: Any) -> None:
            if not model.name.startswith(("Describe", "Get", "List")):
                seen.add((service, model.name))

        return noted

    for service, client in cloud.clients.items():
        client.meta.events.register_first(f"before-call.{service}", note(service), unique_id="record")
    try:
        yield seen
    finally:
        for service, client in cloud.clients.items():
            client.meta.events.unregister(f"before-call.{service}", unique_id="record")


def everything(cloud: Cloud) -> set[str]:
    found = set()
    for operation in takedown._LISTINGS:
        for each in cloud.listed(operation):
            found |= {str(value) for key, value in each.items() if key.endswith("Id") and key != "OwnerId"}
    return found
