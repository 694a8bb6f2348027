"""The known sequence of fixes, in its order, with honest reporting: what each step did to the probes, and no more.

INPUT rules appended, rp_filter off, MTU 1400, explicit routes, on both ends, cumulative as people run them. Each step
is said to have helped only where probes that failed succeed after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import Setting
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.presence import Presence
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.ground import Ground
from hopscope.lastmile.look import look

MTU = 1400


@dataclass(frozen=True)
class KnownStep:
    name: str
    before: frozenset[str]
    after: frozenset[str]
    refused: tuple[str, ...]

    def __str__(self) -> str:
        if not self.before:
            state = "nothing failed before it"
        elif self.after < self.before:
            state = f"helped: {len(self.before)} failed before, {len(self.after)} after"
        elif self.after == self.before:
            state = f"changed nothing: {len(self.after)} fail"
        else:
            state = f"made it worse: {', '.join(sorted(self.after - self.before))}"
        return f"{self.name}: {state}" + "".join(f"; refused: {each}" for each in self.refused)


def steps(ground: Ground) -> list[tuple[str, list[Setting]]]:
    firewall: list[Setting] = []
    parameters: list[Setting] = []
    mtu: list[Setting] = []
    routes: list[Setting] = []
    for side in ground.sides:
        for words in (("-p", "icmp", "-j", "ACCEPT"), ("-i", side.device, "-j", "ACCEPT")):
            rule = " ".join(words)
            firewall.append(
                Presence(
                    side.host, f"iptables -A INPUT {rule}", ("iptables", "-S", "INPUT"), f"-A INPUT {rule}$",
                    ("iptables", "-A", "INPUT", *words), ("iptables", "-D", "INPUT", *words),
                )
            )  # fmt: skip
        for key in ("all", "default", side.device):
            parameters.append(Sysctl(side.host, f"net/ipv4/conf/{key}/rp_filter", "0"))
        parameters.append(Sysctl(side.host, "net.ipv4.icmp_echo_ignore_broadcasts", "0"))
        mtu.append(Mtu(side.host, side.device, MTU))
        routes.append(Route(side.host, f"{ground.other(side.host).inner}/32", port=side.device))
    return [("INPUT rules", firewall), ("kernel parameters", parameters), (f"MTU {MTU}", mtu), ("routes", routes)]


CAUSES = {"INPUT rules": "firewall", "kernel parameters": "reverse-path", f"MTU {MTU}": "mtu", "routes": "route"}
"""What each step is a remedy for."""


def run(
    hosts: Mapping[str, Executor], ground: Ground, *, done: Callable[[KnownStep], None] = lambda step: None
) -> list[KnownStep]:
    """Apply the four steps, probing after each; ``done`` is told. What they set stays, as the script leaves it."""
    from hopscope.errors import HopscopeError

    steps_done = []
    before = look(hosts, ground).failing
    for name, settings in steps(ground):
        refused = []
        for setting in settings:
            try:
                setting.apply(hosts[setting.host])
                setting.verify(hosts[setting.host])
            except HopscopeError as fault:
                refused.append(f"{setting.host} {setting.name}: {fault.message}")
        after = look(hosts, ground).failing
        steps_done.append(KnownStep(name, before, after, tuple(refused)))
        done(steps_done[-1])
        before = after
    return steps_done
