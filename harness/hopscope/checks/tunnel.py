"""All checks of tunnels, in the order in which they are told."""

from __future__ import annotations

from typing import Protocol

from hopscope.checks.keepalive import keepalive
from hopscope.checks.moved import moved
from hopscope.checks.pings import pings
from hopscope.checks.secrecy import secrecy
from hopscope.checks.transfers import transfers
from hopscope.checks.transport import transport
from hopscope.checks.tunnel_health import tunnel_health, weighed
from hopscope.checks.verdict import Verdict
from hopscope.wire.tunnel import TunnelTrace


class TunnelCheck(Protocol):
    """A pure function of the captures of a tunnel, with a name; its discipline is that of ``checks.check``."""

    @property
    def name(self) -> str: ...

    def __call__(self, trace: TunnelTrace) -> Verdict: ...


def tunnel_checks() -> tuple[TunnelCheck, ...]:
    return (tunnel_health(), pings(), transfers(), moved(), keepalive(), transport(), secrecy())


def standing(trace: TunnelTrace) -> list[Verdict]:
    """What every window of a tunnel is held to, whatever its test asked: sound captures, and where anything went
    through it, a transport that nobody ended, and nothing to be read outside."""
    used = any(len(capture.packets) for side in trace.sides for capture in side.tun)
    return _judged(trace, (tunnel_health(), *((transport(), secrecy()) if used else ())))


def everything(trace: TunnelTrace) -> list[Verdict]:
    """The same, and all that was said of the tunnel in this window."""
    said = {pings().name: trace.pings, transfers().name: trace.transfers, moved().name: trace.counters,
            keepalive().name: trace.idles}  # fmt: skip
    standing_ones = {verdict.check for verdict in standing(trace)}
    return _judged(trace, [check for check in tunnel_checks() if said.get(check.name) or check.name in standing_ones])


def _judged(trace: TunnelTrace, checks: tuple[TunnelCheck, ...] | list[TunnelCheck]) -> list[Verdict]:
    return [weighed(check(trace), trace) for check in checks]
