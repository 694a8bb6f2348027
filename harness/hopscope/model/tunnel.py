"""What makes a SUT a tunnel: two ends, each with a device and inner addresses, and a transport between them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

#: Longest interface name that Linux takes (IFNAMSIZ is 16 with its closing zero).
_DEVICE = r"^[A-Za-z0-9_.@-]{1,15}$"

Seconds = Annotated[float, Field(strict=True, gt=0, le=3600, allow_inf_nan=False)]


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no address: write it without a prefix, as in 10.9.0.1") from None


class End(BaseModel):
    """One end: its device and its inner addresses, at most one of each family.

    ``configure`` leaves it to the lab to give the addresses to the device and bring it up, for daemons that only make
    it (``ssh -w``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[str, Field(pattern=_DEVICE)] = "tun0"
    addresses: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(min_length=1, max_length=2)
    configure: StrictBool = False

    @property
    def ips(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return tuple(ip_address(each) for each in self.addresses)


class Transport(BaseModel):
    """What carries the tunnel: a port of the end ``server``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    port: Annotated[StrictInt, Field(ge=1, le=65535)]
    protocol: Literal["tcp", "udp"] = "tcp"


class Tunnel(BaseModel):
    """``ends`` are keyed by the name or the role of a host, as boxes are.

    ``secret`` claims that nothing of what goes through it can be read on the way; ``reconnects`` that a daemon whose
    transport has ended makes a new one by itself; ``keepalive_s`` that something passes that often when nothing else
    does. ``credentials`` are made for each run and put below ``{host_dir}/tls`` or ``{host_dir}/ssh`` of each end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ends: Mapping[str, End] = Field(min_length=2, max_length=2)
    transport: Transport
    ready_timeout_s: Seconds = 15.0
    secret: StrictBool = True
    reconnects: StrictBool = True
    keepalive_s: Seconds | None = None
    credentials: Literal["none", "tls", "ssh"] = "none"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.transport.server not in self.ends:
            raise ValueError(f"transport.server {self.transport.server!r} is none of the ends {', '.join(self.ends)}")
        families = [sorted(each.version for each in end.ips) for end in self.ends.values()]
        if any(len(set(each)) < len(each) for each in families):
            raise ValueError("an end has at most one address of each family")
        if families[0] != families[1]:
            raise ValueError("both ends need addresses of the same families")
        all_of_them = [each for end in self.ends.values() for each in end.addresses]
        if len(set(all_of_them)) < len(all_of_them):
            raise ValueError("the ends need different addresses")
        return self
