"""The achieved idle round trip, measured before traffic and held against what the topology declares."""

from __future__ import annotations

import json
import statistics

from hopscope.errors import EnvironmentFault
from hopscope.hosts.program import python_program
from hopscope.lab.lab import Lab
from hopscope.lab.lifeline import PROGRAMS
from hopscope.model.topology import Address

SPACING_MS = 5.0
ANSWERS_NEEDED = 3
ATTEMPTS = 3
TOLERANCE_MS, TOLERANCE_SHARE = 1.0, 0.05


def measure_idle_rtt(lab: Lab, from_host: str, to_host: str, count: int = 20) -> int:
    """Median round trip in nanoseconds from one host to another, of ``count`` ICMP echoes 5 ms apart.

    Takes about 0.2 s plus two round trips. Raises EnvironmentFault when fewer than three came back.
    """
    patience = 1.0 + 3 * lab.topology.rtt_ms(from_host, to_host) / 1000
    result = lab.hosts[from_host].run(
        [
            *python_program(lab.hosts[from_host], PROGRAMS / "pinger.py"),
            str(_address(lab, from_host, to_host)),
            str(count),
            str(SPACING_MS),
            str(patience),
        ],
        timeout=2 * patience + count * SPACING_MS / 1000 + 10,
    )
    answer = json.loads(result.stdout)
    if len(answer["rtts_ns"]) < ANSWERS_NEEDED:
        raise EnvironmentFault(
            f"{len(answer['rtts_ns'])} of {answer['sent']} echoes to {to_host} came back: no round trip to measure",
            host=from_host,
            evidence=_ways(lab, from_host, to_host),
        )
    rtts: list[int] = answer["rtts_ns"]
    return round(statistics.median(rtts))


def check_rtt(
    lab: Lab, from_host: str = "client", to_host: str = "server", *, declared_ms: float | None = None, count: int = 20
) -> int:
    """The achieved idle round trip in nanoseconds, when it is as declared.

    Declared is the sum over the links of the path, or ``declared_ms`` after an impairment was changed. A machine that
    stalls for a moment only ever adds to a round trip, so one that is off is measured again, three times in all.
    Raises EnvironmentFault when each was off by more than max(1 ms, 5 %).
    """
    declared = lab.topology.rtt_ms(from_host, to_host) if declared_ms is None else declared_ms
    allowed = tolerance_ms(declared)
    seen: list[str] = []
    for _ in range(ATTEMPTS):
        achieved = measure_idle_rtt(lab, from_host, to_host, count)
        if abs(achieved / 1e6 - declared) <= allowed:
            return achieved
        seen.append(f"{achieved / 1e6:.3f} ms")
    made = ", ".join(f"{link.name} by {lab.mechanism[link.name]}" for link in lab.topology.path(from_host, to_host))
    raise EnvironmentFault(
        f"the round trip to {to_host} is not as declared",
        host=from_host,
        evidence=(
            f"declared:  {declared:.3f} ms\nachieved:  {', '.join(seen)} (medians of {count})\n"
            f"tolerance: {allowed:.3f} ms\nlinks:     {made}"
        ),
    )


def _ways(lab: Lab, from_host: str, to_host: str) -> str:
    """How each host on the path would reach the far end, in the words of ``ip route get``."""
    target, here, told = str(_address(lab, from_host, to_host)), from_host, []
    for link in lab.topology.path(from_host, to_host):
        result = lab.hosts[here].run(["ip", "route", "get", target], timeout=10, check=False)
        told.append(f"{here}: {(result.text or result.tail()).splitlines()[0]}; declared: out of {link.name}")
        here = link.b.host if link.a.host == here else link.a.host
    return "\n".join(told)


def tolerance_ms(declared_ms: float) -> float:
    """By how much the achieved round trip may be off: 1 ms, or 5 % where that is more."""
    return max(TOLERANCE_MS, TOLERANCE_SHARE * declared_ms)


def _address(lab: Lab, from_host: str, to_host: str) -> Address:
    """The address of the far host on the last link of the path, IPv4 first."""
    path = lab.topology.path(from_host, to_host)
    if path:
        last = next(port for port in path[-1].ports if port.host == to_host)
        for version in (4, 6):
            if (address := last.address(version)) is not None:
                return address
    raise EnvironmentFault(f"{to_host} has no address to reach it by", host=from_host)
