"""Systems under test: what to start on which host, and how to know that it runs.

A SUT is data. The lab starts each box with its argv, waits for its ready condition, probes its version and ends it
with its stop signal; nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: What `argv`, `env`, `cwd` and `version` of a box may contain; the lab puts in the values.
PLACEHOLDERS = ("python", "host_dir")

_BRACES = re.compile(r"\{([a-z_]+)\}")


class Placement(StrEnum):
    """Who translates: nobody, ClientNIC (which holds early data), or ServerNIC (told by a stamp in the SYN)."""

    NONE = "none"
    HOLD = "hold"
    STAMP = "stamp"


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


class Box(BaseModel):
    """One process of a SUT on one host.

    ``files`` maps a path below the host's directory to a local file, put there before the start. ``events`` says where
    the box tells about itself in JSON lines. ``kernel_forwarding`` is "own" when the box itself keeps the kernel from
    forwarding its flows, "left" when it does not and the captures alone must show that the kernel carried nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: tuple[str, ...] = Field(min_length=1)
    user: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] = Field(default_factory=dict)
    files: Mapping[str, str] = Field(default_factory=dict)
    ready: Ready | None = None
    ready_timeout_s: float = Field(default=10.0, strict=True, gt=0, le=3600, allow_inf_nan=False)
    stop: Literal["TERM", "INT", "HUP", "QUIT"] = "TERM"
    version: tuple[str, ...] | None = None
    events: Literal["stdout"] | None = None
    kernel_forwarding: Literal["own", "left"] = "own"

    @field_validator("argv", "version")
    @classmethod
    def _placeholders(cls, argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for word in argv or ():
            for name in _BRACES.findall(word):
                if name not in PLACEHOLDERS:
                    raise ValueError(f"unknown placeholder {{{name}}}; there are {{python}} and {{host_dir}}")
        return argv

    def command(self, *, python: str, host_dir: str) -> tuple[str, ...]:
        """The argv with its placeholders replaced."""
        return substitute(self.argv, python=python, host_dir=host_dir)

    def version_command(self, *, python: str, host_dir: str) -> tuple[str, ...] | None:
        """The argv that prints the version, or None where the box cannot tell."""
        return None if self.version is None else substitute(self.version, python=python, host_dir=host_dir)


def substitute(words: tuple[str, ...], *, python: str, host_dir: str) -> tuple[str, ...]:
    """Replace ``{python}`` and ``{host_dir}``; every other brace stays as it is (JSON and awk have theirs)."""
    values = {"python": python, "host_dir": host_dir}
    return tuple(_BRACES.sub(lambda found: values.get(found[1], found[0]), word) for word in words)


class Sut(BaseModel):
    """A named system under test. ``boxes`` is keyed by the name or the role of a host; no box means plain kernel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    placement: Placement = Placement.NONE
    boxes: Mapping[str, Box] = Field(default_factory=dict)
    description: str = ""

    def document(self) -> dict[str, Any]:
        """Plain data in the form of a SUT's YAML; reading it back gives an equal Sut."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}
