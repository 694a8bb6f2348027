"""Waiting until nothing moves: the end of a test's traffic as the hosts' interface counters show it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from hopscope.errors import WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.program import python_program
from hopscope.lab.lab import Lab
from hopscope.lab.lifeline import PROGRAMS
from hopscope.lab.wait import wait_until

#: Shortest silence that counts. Longer than a delayed acknowledgement (40 to 200 ms on Linux).
SHORTEST_S = 0.25
_WHAT = "silence on the hosts' interfaces"


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

    Raises WaitTimeout when something still moves after ``timeout`` seconds. Hosts that are not this machine wait by
    themselves: our questions may come by the very ports.
    """
    watched = {name: (lab.hosts[name], [port.name for port in lab.topology.host(name).ports]) for name in hosts}
    silence = SHORTEST_S + 1.5 * rtt_s
    if all(executor.here for executor, _ in watched.values()):
        _poll(list(watched.values()), silence, timeout)
        return
    with ThreadPoolExecutor(len(watched)) as pool:
        ended = pool.map(lambda name: _ask(*watched[name], silence, timeout), watched)
        loud = [name for name, quiet in zip(watched, ended, strict=True) if not quiet]
    if loud:
        raise WaitTimeout(f"waited {timeout:g} s for {_WHAT}", evidence=f"something still moves on {', '.join(loud)}")


def _ask(executor: Executor, ports: list[str], silence: float, timeout: float) -> bool:
    argv = [*python_program(executor, PROGRAMS / "silence.py"), f"{silence:.3f}", f"{timeout:g}", *ports]
    return executor.run(argv, timeout=timeout + 10, check=False).returncode == 0


def _poll(watched: list[tuple[Executor, list[str]]], silence: float, timeout: float) -> None:
    last: tuple[int, ...] = ()
    since = time.monotonic()

    def silent() -> bool:
        nonlocal last, since
        seen = sum((packets(executor, ports) for executor, ports in watched), ())
        if seen != last:
            last, since = seen, time.monotonic()
        return time.monotonic() - since >= silence

    wait_until(silent, timeout=timeout, interval=0.05, what=_WHAT)
