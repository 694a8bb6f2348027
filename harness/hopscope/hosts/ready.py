"""When a spawned process is ready: conditions, asked until they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from hopscope.hosts.executor import Executor
    from hopscope.hosts.process import Process

LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, include/net/tcp_states.h


class Ready(Protocol):
    """A condition; ``what`` names it in the error of a process that does not get there."""

    @property
    def what(self) -> str: ...

    def holds(self, process: Process, executor: Executor) -> bool: ...


@dataclass(frozen=True)
class LogLine:
    """A line of the process's output matches ``pattern`` (a regular expression, searched)."""

    pattern: str
    stream: Literal["stdout", "stderr", "any"] = "any"

    @property
    def what(self) -> str:
        where = "its output" if self.stream == "any" else self.stream
        return f"a line matching {self.pattern!r} on {where}"

    def holds(self, process: Process, executor: Executor) -> bool:
        logs = {"stdout": [process.stdout], "stderr": [process.stderr], "any": [process.stdout, process.stderr]}
        return any(_has_line(log.read_text(errors="replace"), self.pattern) for log in logs[self.stream])


def _has_line(text: str, pattern: str) -> bool:
    """Whole lines only: the last one is still being written until its newline is there."""
    whole, _, _ = text.rpartition("\n")
    return any(re.search(pattern, line) for line in whole.splitlines())


@dataclass(frozen=True)
class ListeningPort:
    """Something on the host listens on this TCP port, of either family."""

    port: int

    @property
    def what(self) -> str:
        return f"a listener on TCP port {self.port}"

    def holds(self, process: Process, executor: Executor) -> bool:
        # tcp6 is absent where IPv6 is switched off at boot: cat then fails and still prints the other table.
        table = executor.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], check=False).text
        return self.port in listening_ports(table)


@dataclass(frozen=True)
class AllOf:
    """Every one of several conditions."""

    conditions: tuple[Ready, ...]

    @property
    def what(self) -> str:
        return " and ".join(condition.what for condition in self.conditions)

    def holds(self, process: Process, executor: Executor) -> bool:
        return all(condition.holds(process, executor) for condition in self.conditions)


def listening_ports(table: str) -> set[int]:
    """Ports in state LISTEN in the text of /proc/net/tcp or tcp6 (proc_pid_net(5): address:port and state in hex)."""
    ports = set()
    for line in table.splitlines():
        columns = line.split()
        if len(columns) > 3 and columns[3] == LISTEN:
            ports.add(int(columns[1].rpartition(":")[2], 16))
    return ports
