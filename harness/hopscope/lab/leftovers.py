"""What a system under test leaves on a host: rules, queues, routes, interfaces, processes that were not there before.

A host is looked at before a box starts and after it has stopped. What is there only afterwards is named, and taken
away where it can be, so that the next test does not run on it.
"""

from __future__ import annotations

import re
import secrets
import signal
from collections import Counter
from contextlib import suppress

from hopscope.errors import HopscopeError, ToolMissing, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.lab.wait import wait_until

#: Name of the environment variable by which processes of a box are known, whatever group or session they are in.
MARK = "HOPSCOPE_BOX"

#: What is looked at: how it is called in messages, the command whose lines are compared, and its input.
_LOOKS = (
    ("table", ("nft", "list", "tables"), b""),
    ("qdisc", ("tc", "qdisc", "show"), b""),
    ("route", ("ip", "-batch", "-"), b"rule show\nroute show table all\n"),
    ("interface", ("ip", "-oneline", "link", "show"), b""),
)
_RULE = re.compile(r"\d+:")
_COUNTS = re.compile(r" refcnt \d+")
_COMMAND_S = 2.0
#: What a process held goes with it, but not at the very moment of its end.
_GRACE_S = 1.0


class Leftovers:
    """One box on one host: make it before the start, with :attr:`env` for its commands; ask :meth:`found` after it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._token = secrets.token_hex(8)
        self._before = _look(executor)

    @property
    def env(self) -> dict[str, str]:
        """What every process of the box bears in its environment."""
        return {MARK: self._token}

    def found(self) -> list[str]:
        """What the box left, in words; it has been taken away afterwards as far as that is possible."""
        with suppress(WaitTimeout):
            wait_until(self._clean, timeout=_GRACE_S, interval=0.05, what="a clean host")
            return []
        processes = self._processes()
        left = [f"process {pid} ({name})" for pid, name in processes.items()]
        for pid in processes:
            self._quietly("kill", f"-{int(signal.SIGKILL)}", str(pid))
        new = _without_what_hangs_on(_look(self._executor) - self._before)
        for kind, line in new:
            self._take_away(kind, line.split())
        still = _look(self._executor) - self._before
        for kind, line in new:
            told = line if line.startswith(kind) else f"{kind} {line}"
            left.append(told + (" (still there: this lab is no longer clean)" if (kind, line) in still else ""))
        return left

    def _clean(self) -> bool:
        return not self._processes() and not _look(self._executor) - self._before

    def _processes(self) -> dict[int, str]:
        """Processes that bear the mark, by the number that the host knows them by."""
        mark = f"{MARK}={self._token}"
        argv = ["find", "/proc", "-maxdepth", "2", "-name", "environ", "-exec", "grep", "-lzsFx", mark, "{}", "+"]
        listed = self._executor.run(argv, timeout=10, check=False).text.split()
        pids = [int(path.split("/")[2]) for path in listed if path.split("/")[2].isdigit()]
        return {pid: self._executor.run(["cat", f"/proc/{pid}/comm"], check=False).text for pid in pids}

    def _take_away(self, kind: str, words: list[str]) -> None:
        match kind, words:
            case "table", ["table", family, name]:
                self._quietly("nft", "delete", "table", family, name)
            case "qdisc", ["qdisc", queue, *_] if "dev" in words:
                at = "clsact" if queue == "clsact" else "ingress" if queue == "ingress" else "root"
                self._quietly("tc", "qdisc", "del", "dev", words[words.index("dev") + 1], at)
            case "route", [priority, *_] if _RULE.fullmatch(priority):
                self._quietly("ip", "rule", "del", "priority", priority.rstrip(":"))
            case "interface", [name]:
                self._quietly("ip", "link", "del", "dev", name)
            case "route", _:
                self._quietly("ip", "route", "del", *words)

    def _quietly(self, *argv: str) -> None:
        with suppress(HopscopeError):
            self._executor.run(argv, timeout=_COMMAND_S, check=False)


def _without_what_hangs_on(seen: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Routes and queues of an interface that was left go with it, and need no line of their own."""
    names = [f" dev {name} " for kind, name in seen if kind == "interface"]
    return Counter({each: number for each, number in seen.items() if not any(name in f"{each[1]} " for name in names)})


def _look(executor: Executor) -> Counter[tuple[str, str]]:
    seen: Counter[tuple[str, str]] = Counter()
    for kind, argv, said in _LOOKS:
        with suppress(ToolMissing):  # what a host has no tool for, a box cannot well have set up there
            listed = executor.run(argv, timeout=10, check=False, stdin=said)
            seen.update((kind, _lasting(kind, line)) for line in listed.text.splitlines())
    return seen


def _lasting(kind: str, line: str) -> str:
    """A line without what changes by itself: counts of users, and all of an interface (``3: tun0@if2: <…>``) but its
    name."""
    if kind == "interface":
        return line.split()[1].rstrip(":").partition("@")[0]
    return _COUNTS.sub("", line).strip()
