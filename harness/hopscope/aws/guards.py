"""What keeps a run from costing more than was meant: an allow-list of types, an estimate before anything is made."""

from __future__ import annotations

from datetime import UTC, datetime

import yaml

from hopscope import data
from hopscope.aws.desired import ENDPOINTS, INTERFACES, Request
from hopscope.errors import UsageError
from hopscope.model.topology import Topology, suggestion

MAX_USD = 2.0
MAX_HOURS = 24.0


def prices() -> dict[str, float]:
    """USD an hour by instance type, and of an ``address``, an ``endpoint`` and a ``volume``."""
    document = yaml.safe_load(data.path("aws/prices.yaml").read_text())
    return {**document["instances"], **{name: document[name] for name in ("address", "endpoint", "volume")}}


def estimate(topology: Topology, request: Request) -> float:
    """USD for the whole time of the run, all hosts. UsageError for an instance type that is not on the list."""
    known = prices()
    private = request.access == ENDPOINTS
    hourly = len(INTERFACES) * known["endpoint"] if private else 0.0
    for host in topology.hosts:
        kind = request.type_of(host.name)
        if "." not in kind or kind not in known:
            types = [name for name in known if "." in name]
            raise UsageError(f"instance type {kind!r} is not on the list of prices{suggestion(kind, types)}")
        hourly += known[kind] + (0 if private else known["address"]) + known["volume"]
    return hourly * (request.expires - datetime.now(UTC)).total_seconds() / 3600


def check(topology: Topology, request: Request, max_usd: float = MAX_USD) -> float:
    """The estimate. UsageError where it is over ``max_usd``, or the time is none that a run may have."""
    hours = (request.expires - datetime.now(UTC)).total_seconds() / 3600
    if not 0 < hours <= MAX_HOURS:
        raise UsageError(f"a run of {hours:.1f} h is not possible: up to {MAX_HOURS:g} h")
    usd = estimate(topology, request)
    if usd > max_usd:
        raise UsageError(
            f"the run would cost up to {usd:.2f} USD in {hours:.1f} h, and {max_usd:.2f} were allowed (--max-usd)"
        )
    return usd
