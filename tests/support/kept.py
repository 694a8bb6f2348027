"""The namespaces of one lab, and who keeps them: other labs may come and go on the same machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def belongings(keeper: int) -> set[str]:
    """The namespaces of a lab: those that its keeper is in, and those that it holds, as ``net:[4026531840]``."""
    proc = Path(f"/proc/{keeper}")
    held = {os.readlink(entry) for entry in (proc / "fd").iterdir()}
    own = {os.readlink(proc / "ns" / kind) for kind in ("net", "pid")}
    return {name for name in held if name.startswith("net:[")} | own


def users(namespaces: set[str]) -> set[str]:
    """Who is in one of these namespaces, or holds it by a descriptor: as long as there is one, the kernel keeps it."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                links = [process / "ns" / "net", process / "ns" / "pid", *(process / "fd").iterdir()]
                if any(_target(link) in namespaces for link in links):
                    found.add(f"{process.name} {(process / 'cmdline').read_bytes()!r}")
    return found


def _target(link: Path) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""
