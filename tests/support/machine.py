"""What a lab could leave behind on this machine, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def namespaces(kind: str) -> set[str]:
    """Every namespace of a kind (net, pid, mnt, user) that some process is in, as ``net:[4026531840]``."""
    found = set()
    for process in _processes():
        with suppress(OSError):
            found.add(os.readlink(f"/proc/{process}/ns/{kind}"))
    return found


def state() -> dict[str, set[str]]:
    return {"links": links(), "named": named_namespaces(), "net": namespaces("net"), "pid": namespaces("pid")}


def descendants(pid: int) -> set[int]:
    """Processes below a process, at any depth."""
    children: dict[int, set[int]] = {}
    for process in _processes():
        with suppress(OSError, IndexError):
            parent = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, set()).add(process)
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def pid_namespaces(processes: Iterable[int]) -> set[str]:
    """The pid namespaces, other than ours, that processes are in, as ``pid:[4026531836]``."""
    found = set()
    for process in processes:
        with suppress(OSError):
            found.add(os.readlink(f"/proc/{process}/ns/pid"))
    return found - {os.readlink("/proc/self/ns/pid")}


def links() -> set[str]:
    """Names of the host's own interfaces."""
    output = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, timeout=10).stdout
    return {link["ifname"] for link in json.loads(output)}


def named_namespaces() -> set[str]:
    output = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True, timeout=10).stdout
    return set(output.splitlines())


def inside(namespaces: set[str]) -> set[int]:
    """Processes in pid namespaces."""
    found = set()
    for process in _processes():
        with suppress(OSError):
            if os.readlink(f"/proc/{process}/ns/pid") in namespaces:
                found.add(process)
    return found


def alive(processes: Iterable[int]) -> set[int]:
    """Those that still run; a zombie has ended."""
    found = set()
    for process in processes:
        with suppress(OSError, IndexError):
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(process)
    return found


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
