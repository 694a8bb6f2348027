"""The largest packet that gets through, found by halving."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.traffic.ping import ping

LEAST = {4: 576, 6: 1280}
"""What every host takes (RFC 791, 3.1; RFC 8200, 5)."""
ECHOES = 2
"""One echo may be lost for another reason; a size counts as too large when each of so many was."""


@dataclass(frozen=True)
class PathMtu:
    """``bytes`` is the largest IP packet that was answered, ``wanted`` what the device says; None when not even the
    least was."""

    host: str
    target: str
    bytes: int | None
    wanted: int
    tried: int

    @property
    def ok(self) -> bool:
        return self.bytes == self.wanted

    def __str__(self) -> str:
        seen = "nothing passes" if self.bytes is None else f"{self.bytes} bytes pass"
        return f"{self.host} to {self.target}: {seen} of the {self.wanted} that the device says ({self.tried} tried)"


def path_mtu(host: Executor, target: str, *, wanted: int, wait_s: float = 0.3) -> PathMtu:
    """Measure the path MTU to ``target`` by echoes that may not be fragmented, up to ``wanted`` bytes.

    Takes a round trip where the largest passes, else about ten times ``wait_s`` at most.
    """
    least = LEAST[ip_address(target).version]
    if wanted < least:
        raise EnvironmentFault(f"an MTU of {wanted} is less than every host has to take ({least})", host=host.name)
    tried = 0

    def passes(size: int) -> bool:
        nonlocal tried
        tried += 1
        return ping(host, target, count=ECHOES, size=size, wait_s=wait_s).received > 0

    if passes(wanted):
        return PathMtu(host.name, target, wanted, wanted, tried)
    if not passes(least):
        return PathMtu(host.name, target, None, wanted, tried)
    low, high = least, wanted  # low passes, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return PathMtu(host.name, target, low, wanted, tried)
