"""Systems under test: what to start on which host, and how to know that it runs.

A SUT is data. The lab starts each box with its argv, waits for its ready condition, probes its version and ends it
with its stop signal; nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from hopscope.model.tunnel import Tunnel

#: What the commands of a box may contain; the lab puts in the values.
PLACEHOLDERS = ("python", "host_dir")
#: What they may contain in a tunnel as well: the addresses of this end and of the other one, outside the tunnel.
OF_TUNNELS = ("own", "peer")

_BRACES = re.compile(r"\{([a-z_]+)\}")
_NFT_WORD = r"^[A-Za-z_][A-Za-z0-9_.-]*$"

Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class Placement(StrEnum):
    """Who translates: nobody, ClientNIC (which holds early data), or ServerNIC (told by a stamp in the SYN).

    A proxy ends each connection and opens one of its own: nothing is translated, and there is no one flow to follow.
    """

    NONE = "none"
    HOLD = "hold"
    STAMP = "stamp"
    PROXY = "proxy"


class Ready(BaseModel):
    """When a process counts as running: a line on stdout or stderr (regular expression), a listening port, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: str | None = None
    port: int | None = Field(default=None, strict=True, ge=1, le=65535)

    @field_validator("line")
    @classmethod
    def _compiles(cls, line: str | None) -> str | None:
        if line is not None:
            try:
                re.compile(line)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return line

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.line is None and self.port is None:
            raise ValueError("a ready condition needs a line, a port or both")
        return self


class NftChain(BaseModel):
    """``hook`` as nft has it (``type filter hook forward priority 0; policy accept;``), empty for a plain chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hook: str = ""
    rules: tuple[str, ...] = ()


class NftRules(BaseModel):
    """An nft table that the lab applies, reads back and takes away again with the box."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Annotated[str, Field(pattern=_NFT_WORD)] = "sut"
    family: Literal["inet", "ip", "ip6", "arp", "bridge", "netdev"] = "inet"
    chains: Mapping[Annotated[str, Field(pattern=_NFT_WORD)], NftChain] = Field(min_length=1)


class Checkout(BaseModel):
    """A git checkout on the host: ``ref`` is a branch of its origin, a tag or a hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, Field(pattern=r"^/")]
    ref: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]


class Box(BaseModel):
    """What a SUT is on one host: a process (``argv``), rules (``nft``), or what commands set up and tear down.

    ``checkout`` is brought to its revision first, as its owner. ``files`` maps a path below the host's directory to
    a local file, put there before the start. ``modules`` are Python packages of this machine that its programs
    import: a host that is not this machine gets a copy, on PYTHONPATH (what runs by ``{python} -m`` need not be
    named). ``needs`` are paths that must be on the host already. ``setup`` commands run to their end before the
    process starts, ``teardown`` commands after its end. ``events`` says where the box tells about itself in JSON
    lines.

    ``kernel_forwarding`` says who keeps the kernel from forwarding the flows of the box: "own" the box itself, "nft"
    the rules declared here, "left" nobody, and the captures alone must show that the kernel carried nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: Argv | None = None
    setup: tuple[Argv, ...] = ()
    teardown: tuple[Argv, ...] = ()
    nft: NftRules | None = None
    user: str | None = None
    sudo: StrictBool = False
    cwd: str | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    checkout: Checkout | None = None
    files: Mapping[str, str] = Field(default_factory=dict)
    modules: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    needs: tuple[str, ...] = ()
    ready: Ready | None = None
    ready_timeout_s: float = Field(default=10.0, strict=True, gt=0, le=3600, allow_inf_nan=False)
    stop: Literal["TERM", "INT", "HUP", "QUIT"] = "TERM"
    version: Argv | None = None
    events: Literal["stdout"] | None = None
    kernel_forwarding: Literal["own", "left", "nft"] = "own"

    @field_validator("argv", "version")
    @classmethod
    def _placeholders(cls, argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for word in argv or ():
            for name in _BRACES.findall(word):
                if name not in (*PLACEHOLDERS, *OF_TUNNELS):
                    raise ValueError(
                        f"unknown placeholder {{{name}}}; there are {{python}} and {{host_dir}}, "
                        "in a tunnel {own} and {peer}"
                    )
        return argv

    @field_validator("files")
    @classmethod
    def _below_the_host(cls, files: Mapping[str, str]) -> Mapping[str, str]:
        for remote in files:
            if remote.startswith("/") or ".." in remote.split("/"):
                raise ValueError(f"{remote!r} must be below the host's directory, which commands call {{host_dir}}")
        return files

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.argv is None and not self.setup and self.nft is None:
            raise ValueError("a box needs something to run or to apply: argv, setup or nft")
        for name in ("ready", "events"):
            if self.argv is None and getattr(self, name) is not None:
                raise ValueError(f"{name!r} speaks of a process: it needs argv")
        if self.user is not None and self.sudo:
            raise ValueError("user and sudo exclude each other: sudo is for what must run as root")
        if self.kernel_forwarding == "nft" and self.nft is None:
            raise ValueError("kernel_forwarding: nft needs the rules that keep the kernel out, under nft")
        return self

    def command(self, **values: str) -> tuple[str, ...]:
        """The argv with its placeholders replaced, empty where nothing stays running."""
        return substitute(self.argv or (), **values)

    def version_command(self, **values: str) -> tuple[str, ...] | None:
        """The argv that prints the version, or None where the box cannot tell."""
        return None if self.version is None else substitute(self.version, **values)


def substitute(words: tuple[str, ...], **values: str) -> tuple[str, ...]:
    """Replace ``{python}`` and whatever is given; every other brace stays as it is (JSON and awk have theirs)."""
    return tuple(_BRACES.sub(lambda found: values.get(found[1], found[0]), word) for word in words)


def _commands(box: Box) -> tuple[Argv, ...]:
    return (box.argv or (), *box.setup, *box.teardown, box.version or ())


class Sut(BaseModel):
    """A named system under test. ``boxes`` is keyed by the name or the role of a host; no box means plain kernel.

    ``fetch`` says where code comes from that is the user's to fetch; it is shown when a box lacks what it needs.
    ``promises`` are properties that not every system has, and that this one is judged by: ``identities``, that packets
    add up from tap to tap; ``round_trips``, that no end takes a handshake that was answered early for the path's round
    trip. ``tunnel`` makes it one whose boxes are the ends of a tunnel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    placement: Placement = Placement.NONE
    boxes: Mapping[str, Box] = Field(default_factory=dict)
    description: str = ""
    fetch: str = ""
    promises: tuple[Literal["identities", "round_trips"], ...] = ()
    tunnel: Tunnel | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tunnel is None:
            words = [word for box in self.boxes.values() for command in _commands(box) for word in command]
            if used := {name for word in words for name in _BRACES.findall(word)} & set(OF_TUNNELS):
                raise ValueError(f"{{{min(used)}}} is for tunnels: say what the ends are, under tunnel")
        elif self.placement is not Placement.NONE:
            raise ValueError("a tunnel translates nothing: leave placement out")
        if self.promises and self.placement not in (Placement.HOLD, Placement.STAMP):
            raise ValueError("promises are for systems that translate: placement hold or stamp")
        return self

    def document(self) -> dict[str, Any]:
        """Plain data in the form of a SUT's YAML; reading it back gives an equal Sut."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}
