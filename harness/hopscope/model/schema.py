"""What a topology's YAML may contain, field by field. What the fields mean together is ``build``'s."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, field_validator

from hopscope.model.sut import Sut
from hopscope.model.topology import DEFAULT_SERVICE_PORTS, Role

Milliseconds = Annotated[float, Field(strict=True, ge=0, le=60_000, allow_inf_nan=False)]
Limit = Annotated[float, Field(strict=True, gt=0, le=3_600_000, allow_inf_nan=False)]
"""Milliseconds, above 0."""
Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


class HostSpec(BaseModel):
    """A host without a role has the role of its name, where there is one of that name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role | None = None
    forwarding: StrictBool | None = None


class LinkSpec(BaseModel):
    """``subnet`` for one, ``subnets`` for several; addresses are the first two of each subnet unless given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoints: tuple[str, ...]
    subnet: str | None = None
    subnets: tuple[str, ...] | None = None
    addresses: tuple[tuple[str, ...], ...] | None = None
    macs: tuple[str, ...] | None = None
    mtu: Annotated[StrictInt, Field(ge=68, le=65535)] = 1500
    rtt_ms: Milliseconds = 0.0
    loss: Probability = 0.0
    reorder: Probability = 0.0
    reorder_ms: Milliseconds = 1.0

    @field_validator("addresses", mode="before")
    @classmethod
    def _one_or_several(cls, addresses: Any) -> Any:
        if isinstance(addresses, list):
            return [[each] if isinstance(each, str) else each for each in addresses]
        return addresses


class ServiceSpec(BaseModel):
    """Without a host: the one of role server, else the host declared last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str | None = None
    ports: tuple[Annotated[StrictInt, Field(ge=1, le=65535)], ...] = Field(default=DEFAULT_SERVICE_PORTS, min_length=1)


class BudgetsSpec(BaseModel):
    """Limits of latencies on this topology, for checks that name none of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttfb_ms: Limit | None = None
    send_unlock_ms: Limit | None = None
    fct_ms: Limit | None = None
    server_gap_ms: Limit | None = None


class TopologySpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    hosts: dict[str, HostSpec] = Field(min_length=1)
    links: tuple[LinkSpec, ...]
    service: ServiceSpec = ServiceSpec()
    budgets: BudgetsSpec = BudgetsSpec()
    sut: str = "kernel"
    suts: dict[str, Sut] = Field(default_factory=dict)

    @field_validator("suts", mode="before")
    @classmethod
    def _named_by_key(cls, suts: Any) -> Any:
        if not isinstance(suts, dict):
            return suts
        return {key: body | {"name": key} if isinstance(body, dict) else body for key, body in suts.items()}
