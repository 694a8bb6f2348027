"""A transfer of bytes both ways between two hosts, hashed where they are sent and where they arrive."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopscope.errors import CommandTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine

_COPIER = Path(__file__).with_name("copier.py")
PORT = 5999


@dataclass(frozen=True)
class Way:
    """Bytes of one direction, as its sender and its receiver know them."""

    host: str
    to: str
    asked: int
    sent: int
    received: int
    same: bool
    error: str

    @property
    def ok(self) -> bool:
        return self.sent == self.received == self.asked and self.same and not self.error

    def __str__(self) -> str:
        how = "the hashes agree" if self.same else "the hashes differ"
        told = f"; {self.error}" if self.error else ""
        return f"{self.host} to {self.to}: {self.received:,} of {self.asked:,} bytes arrived, {how}{told}"


@dataclass(frozen=True)
class TransferReport:
    """``ways`` are client to server and back. ``start_ns`` and ``end_ns`` are those of the call."""

    ways: tuple[Way, Way]
    seconds: float
    start_ns: int
    end_ns: int

    @property
    def ok(self) -> bool:
        return all(way.ok for way in self.ways)

    @property
    def megabits_per_s(self) -> float:
        """Both ways together."""
        return sum(way.received for way in self.ways) * 8e-6 / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return "; ".join(map(str, self.ways)) + f" ({self.megabits_per_s:.1f} Mbit/s)"


def transfer(
    client: Executor, server: Executor, address: str, *, bytes: int, port: int = PORT, timeout: float = 30.0
) -> TransferReport:
    """Send ``bytes`` random bytes each way over one connection from ``client`` to ``address`` on ``server``.

    What is lost or changed is told by the report and raises nothing.
    """
    for host in (client, server):
        host.put(_COPIER, "copier.py")
    start_ns, began = time.time_ns(), time.monotonic()
    with server.spawn(
        _argv(server, "serve", address, port, bytes, timeout), name="copier", ready=LogLine("listening", "stderr")
    ) as serving:
        result = client.run(
            _argv(client, "connect", address, port, bytes, timeout), timeout=timeout * 2 + 10, check=False
        )
        here = _said(result.text)
        there = _ended(serving, timeout)
    seconds = time.monotonic() - began
    ways = (_way(client, server, bytes, here, there), _way(server, client, bytes, there, here))
    return TransferReport(ways, seconds, start_ns, time.time_ns())


def _argv(host: Executor, role: str, address: str, port: int, count: int, timeout: float) -> list[str]:
    program = str(host.directory / "copier.py")
    return [host.python, "-I", "-S", program, role, address, str(port), str(count), str(timeout)]


def _ended(process: Process, timeout: float) -> dict[str, Any]:
    """What the serving side said; it has nothing to wait for once the other one has ended, but its own time limit."""
    try:
        process.wait(min(timeout, 5.0))
    except CommandTimeout:
        return {"error": "the serving side did not come to an end"}
    return _said("\n".join(process.lines()))


def _said(text: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": "it said nothing"}
    return said


def _way(sender: Executor, receiver: Executor, asked: int, sent: dict[str, Any], got: dict[str, Any]) -> Way:
    same = "sent_sha256" in sent and sent["sent_sha256"] == got.get("received_sha256")
    error = "; ".join(
        f"{host.name}: {said['error']}" for host, said in ((sender, sent), (receiver, got)) if "error" in said
    )
    return Way(sender.name, receiver.name, asked, sent.get("sent", 0), got.get("received", 0), same, error)
