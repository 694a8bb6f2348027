"""Waiting until nothing moves: the end of a test's traffic as the hosts' interface counters show it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.wait import wait_until

#: Shortest silence that counts. Longer than a delayed acknowledgement (40 to 200 ms on Linux).
SHORTEST_S = 0.25


def packets(executor: Executor, ports: Iterable[str]) -> tuple[int, ...]:
    """Packets received and sent by these interfaces of a host, from /proc/net/dev."""
    wanted = set(ports)
    counters: list[int] = []
    for line in executor.run(["cat", "/proc/net/dev"], timeout=5).text.splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and name.strip() in wanted and len(fields) >= 10:
            counters += [int(fields[1]), int(fields[9])]
    return tuple(counters)


def wait_quiet(lab: Lab, hosts: Iterable[str], *, rtt_s: float = 0.0, timeout: float = 15.0) -> None:
    """Return when no packet has passed the given hosts for more than a round trip and a delayed acknowledgement.

    Raises WaitTimeout when something still moves after ``timeout`` seconds.
    """
    watched = [(lab.hosts[name], [port.name for port in lab.topology.host(name).ports]) for name in hosts]
    silence = SHORTEST_S + 1.5 * rtt_s
    last: tuple[int, ...] = ()
    since = time.monotonic()

    def silent() -> bool:
        nonlocal last, since
        seen = sum((packets(executor, ports) for executor, ports in watched), ())
        if seen != last:
            last, since = seen, time.monotonic()
        return time.monotonic() - since >= silence

    wait_until(silent, timeout=timeout, interval=0.05, what="silence on the hosts' interfaces")
