"""What a lab could leave behind on this machine, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path


def namespaces(kind: str) -> set[str]:
    """Every namespace of a kind (net, pid, mnt, user) that some process is in, as ``net:[4026531840]``."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                found.add(os.readlink(process / "ns" / kind))
    return found


def links() -> set[str]:
    """Names of the host's own interfaces."""
    output = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, timeout=10).stdout
    return {link["ifname"] for link in json.loads(output)}


def named_namespaces() -> set[str]:
    output = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True, timeout=10).stdout
    return set(output.splitlines())


def inside(pid_namespace: str) -> set[int]:
    """Processes in a pid namespace."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if os.readlink(process / "ns" / "pid") == pid_namespace:
                    found.add(int(process.name))
    return found


def state() -> dict[str, set[str]]:
    return {"links": links(), "named": named_namespaces(), "net": namespaces("net"), "pid": namespaces("pid")}
