"""Hosts that are there already, as an inventory's YAML tells of them: how each is reached, and which port is which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

_PORT = Annotated[StrictInt, Field(ge=1, le=65535)]


class Reach(BaseModel):
    """How a host is reached by SSH. A host key is pinned by its ``fingerprint`` or found in ``known_hosts``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(min_length=1)
    port: _PORT = 22
    user: str = "root"
    keys: tuple[str, ...] = ()
    agent: StrictBool = False
    fingerprint: Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")] | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    proxy_command: tuple[str, ...] = ()
    jump: Reach | None = None
    max_sessions: Annotated[StrictInt, Field(ge=2, le=1000)] = 10


class InventoryHost(Reach):
    """A host of the topology.

    ``sudo`` says that the user becomes root by ``sudo -n``; ``ports`` maps a port of the topology to an interface's
    name or MAC where its subnet does not tell; scratch files go below ``directory``; captures of boxes between the ends
    that are larger than ``fetch_whole_mb`` come without the payload of segments whose checksum the host found right.
    """

    sudo: StrictBool = False
    python: str = "python3"
    directory: Annotated[str, Field(pattern=r"^/")] = "/tmp"  # noqa: S108  a name of its own is made below it
    ports: Mapping[str, str] = Field(default_factory=dict)
    fetch_whole_mb: Annotated[StrictInt, Field(ge=0)] = 200


class Middle(BaseModel):
    """A box in the middle of a link, by the name of its host in the inventory and its two ports: that to the link's
    first end, and that to the second. It may not forward: what crosses it is ours to delay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    ports: tuple[str, str]


class Inventory(BaseModel):
    """``hosts`` by the names that the topology has for them; ``links`` that have a box in the middle, by their names
    (``clientnic:eth1--servernic:eth0``). Boxes are hosts of the inventory and not of the topology."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    hosts: Mapping[str, InventoryHost] = Field(min_length=1)
    links: Mapping[str, Middle] = Field(default_factory=dict)

    def relative_to(self, folder: Path) -> Inventory:
        """With every path of a key or of known_hosts absolute, as seen from a document in ``folder``."""
        return self.model_copy(update={"hosts": {name: _based(host, folder) for name, host in self.hosts.items()}})


def _based(reach: Reach, folder: Path) -> Reach:
    given = {
        "keys": tuple(str(folder / Path(each).expanduser()) for each in reach.keys),
        "known_hosts": str(folder / Path(reach.known_hosts).expanduser()),
    }
    if reach.jump is not None:
        given |= {"jump": _based(reach.jump, folder)}  # type: ignore[dict-item]
    return reach.model_copy(update=given)
