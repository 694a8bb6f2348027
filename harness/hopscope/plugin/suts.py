"""SUTs by name, and mixes of them: ``stamp``, ``path/to/mine.yaml``, ``mine,servernic=stamp``.

A mix is a SUT of its own: the boxes of the first, with the box on each host named after it taken from another (or taken
away, where the other has none there: ``stamp,servernic=kernel``). Its placement is the first one's; where that one
translates nothing, it is the placement of those that take its boxes over, which must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hopscope import data
from hopscope.errors import UsageError
from hopscope.model.sut import Box, Placement, Sut
from hopscope.model.topology import Role, Topology, suggestion

Ask = Callable[[str, Topology], Sut | None]


@dataclass(frozen=True)
class Mix:
    """What ``NAME[,HOST=NAME…]`` says: the base, and whose box sits on which host (a name or a role)."""

    base: str
    overrides: Mapping[str, str]


def parse(text: str) -> Mix:
    """Raises UsageError for what is no ``NAME[,HOST=NAME…]``."""
    base, *rest = (part.strip() for part in text.split(","))
    overrides: dict[str, str] = {}
    for part in rest:
        host, equals, name = (each.strip() for each in part.partition("="))
        if not (host and equals and name):
            raise UsageError(f"SUT {text!r}: {part!r} is no HOST=NAME, as in stamp,servernic=mine")
        if host in overrides:
            raise UsageError(f"SUT {text!r}: {host} is given twice")
        overrides[host] = name
    if not base or "=" in base:
        raise UsageError(f"SUT {text!r}: the first name is the SUT that the others go into, as in stamp,servernic=mine")
    return Mix(base, overrides)


def find(text: str, topology: Topology, folders: Iterable[Path] = (), ask: Ask | None = None) -> Sut:
    """The SUT or mix for this topology; files are looked for in the working directory, then in ``folders``.

    ``ask`` comes first: it knows SUTs that no file has.
    Raises UsageError for a name or host that there is not, with the nearest that there is.
    """
    mix, places = parse(text), tuple(folders)

    def named(name: str) -> Sut:
        asked = None if ask is None else ask(name, topology)
        return data.sut(name, topology, folders=places) if asked is None else asked

    base = named(mix.base)
    if not mix.overrides:
        return base
    boxes = topology.boxes(base)
    placements: dict[str, Placement] = {}
    for host, name in mix.overrides.items():
        other, where = named(name), _host(host, topology)
        placements[name] = other.placement
        boxes.pop(where, None)
        if (box := topology.boxes(other).get(where)) is not None:
            boxes[where] = box
    return Sut(
        name=text,
        placement=_placement(text, base, placements),
        boxes=_in_order(boxes, topology),
        description=f"{base.name} with " + ", ".join(f"{name} on {host}" for host, name in mix.overrides.items()),
        tunnel=base.tunnel,
    )


def _host(name: str, topology: Topology) -> str:
    names = [host.name for host in topology.hosts]
    if name in names:
        return name
    roles = [str(host.role) for host in topology.hosts]
    if name in set(Role) and roles.count(name) == 1:
        return topology.role(name).name
    raise UsageError(f"no host {name!r} in topology {topology.name}{suggestion(name, dict.fromkeys([*names, *roles]))}")


def _placement(text: str, base: Sut, others: Mapping[str, Placement]) -> Placement:
    if base.placement is not Placement.NONE:
        return base.placement
    said = {each for each in others.values() if each is not Placement.NONE}
    if len(said) > 1:
        told = ", ".join(f"{name} says {each}" for name, each in others.items() if each is not Placement.NONE)
        raise UsageError(f"SUT {text!r}: {told}; name the one that counts first")
    return said.pop() if said else Placement.NONE


def _in_order(boxes: Mapping[str, Box], topology: Topology) -> dict[str, Box]:
    return {host.name: boxes[host.name] for host in topology.hosts if host.name in boxes}
