"""What a lab is made of on this machine, looked at while it is up; and what of it is still there after its end.

Links, addresses, routes, nft tables, queueing disciplines and BPF programs of a lab are in its network namespaces, and
go with them: what has to be shown is that nothing keeps a namespace, or is at work in one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hopscope.errors import WaitTimeout
from hopscope.lab.lab import Lab
from hopscope.lab.wait import wait_until

#: What a process held goes with it, but not at the very moment of its end.
GRACE_S = 2.0
_LINKS = Path("/sys/class/net")


@dataclass(frozen=True)
class Footprint:
    """``namespaces`` are names of the kernel's (``net:[4026531840]``); ``links`` the names that ports of the lab have,
    but for those that this machine had already; ``directory`` is the lab's own."""

    namespaces: frozenset[str]
    links: frozenset[str]
    directory: Path

    def left(self) -> list[str]:
        """What is there although the lab has ended, in words; it has :data:`GRACE_S` to go."""
        with suppress(WaitTimeout):
            wait_until(lambda: not self._now(), timeout=GRACE_S, interval=0.02, what="a lab to go")
        return self._now()

    def _now(self) -> list[str]:
        found = [f"process {pid} ({_name(pid)}) has {name}" for pid, name in _users(self.namespaces)]
        found += [f"link {name} on this machine" for name in sorted(self.links & _links())]
        return found + ([f"directory {self.directory}"] if self.directory.exists() else [])


def of(lab: Lab) -> Footprint | None:
    """None for a lab that is not held by this process: whatever it is made of is not ours to miss."""
    if lab.life_line is None:
        return None
    keeper = Path("/proc") / str(lab.life_line.pid)
    own = {_target(Path("/proc/self/ns") / kind) for kind in ("net", "pid")}
    made = {_target(each) for each in (keeper / "ns" / "net", keeper / "ns" / "pid", *_entries(keeper / "fd"))}
    ports = {port.name for port in lab.topology.ports}
    return Footprint(
        frozenset(name for name in made - own if name.startswith(("net:[", "pid:["))),
        frozenset(ports - _links()),
        lab.directory,
    )


def _users(namespaces: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Who is in one of these namespaces, or holds it by a descriptor: as long as there is one, the kernel keeps it."""
    for process in _entries(Path("/proc")):
        if process.name.isdigit():
            held = [process / "ns" / "net", process / "ns" / "pid", *_entries(process / "fd")]
            found = namespaces & {_target(each) for each in held}
            if found:
                yield int(process.name), min(found)


def _entries(directory: Path) -> list[Path]:
    with suppress(OSError):  # it has gone, or is somebody else's
        return list(directory.iterdir())
    return []


def _target(link: Path) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _links() -> set[str]:
    return {each.name for each in _entries(_LINKS)}


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "gone meanwhile"
