"""What happens inside the hosts of a stack, and in which line of an audit it has to show up."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from hopscope.aws.doubles.agent import Agent
from hopscope.lab.lab import Lab

CLOCK = Path(__file__).with_name("clock.c")
WRONG = """#!/bin/sh
export CLOCK_AHEAD={ahead} LD_PRELOAD=/usr/local/sbin/clock.so
exec env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin python3 "$@"
"""
CHRONY = '#!/bin/sh\n[ "$1" = makestep ] && rm /usr/local/sbin/python3 && echo 200 OK\n'


class Intruder:
    """Somebody with hands of their own on hosts of a lab, whose agents are by the names of their hosts."""

    def __init__(self, lab: Lab, agents: dict[str, Agent]) -> None:
        self.lab, self.agents = lab, agents

    def run(self, host: str, *argv: str) -> None:
        self.lab.hosts[host].run(argv)

    def ip(self, host: str, words: str) -> None:
        self.run(host, "ip", *words.split())

    def forwards_not(self, host: str) -> None:
        self.run(host, "sysctl", "-w", "net.ipv4.ip_forward=0")

    def readdressed(self, host: str, new: str, old: str) -> None:
        self.ip(host, f"address add {new} dev eth0")
        self.ip(host, f"address del {old} dev eth0")

    def clock(self, host: str, ahead: int) -> None:
        """Its Python has another time, until its chrony is asked to set it."""
        sbin = self.agents[host].directory / "sbin"
        library = ["cc", "-O1", "-shared", "-fPIC", "-o", str(sbin / "clock.so"), str(CLOCK)]
        subprocess.run(library, check=True, timeout=60)
        for name, text in (
            ("python3", WRONG.format(ahead=ahead)),
            ("chronyc", CHRONY),
        ):
            (sbin / name).write_text(text)
            (sbin / name).chmod(0o755)


Sabotage = tuple[Callable[[Intruder], None], str, str]
SABOTAGES: dict[str, Sabotage] = {
    "MTU of the client smaller": (
        lambda i: i.ip("client", "link set dev eth0 mtu 1400"),
        "guest client: mtu eth0",
        "large segments vanish",
    ),
    "MTU of ServerNIC's middle smaller": (
        lambda i: i.ip("servernic", "link set dev eth0 mtu 1300"),
        "guest servernic: mtu eth0",
        "large segments vanish",
    ),
    "ClientNIC forwards nothing": (
        lambda i: i.forwards_not("clientnic"),
        "guest clientnic: forwarding",
        "nothing comes through it",
    ),
    "ServerNIC forwards nothing": (
        lambda i: i.forwards_not("servernic"),
        "guest servernic: forwarding",
        "nothing comes through it",
    ),
    "ClientNIC's way to the server gone": (
        lambda i: i.ip("clientnic", "route del 10.1.2.0/24"),
        "guest clientnic: way to 10.1.2.0/24",
        "another way, or none",
    ),
    "ServerNIC's way back by the wrong port": (
        lambda i: i.ip("servernic", "route replace 10.1.0.0/24 via 10.1.2.10 dev eth1"),
        "guest servernic: way to 10.1.0.0/24",
        "another way, or none",
    ),
    "one address of the server's subnet straight from the client": (
        lambda i: i.ip("client", "route add 10.1.2.10/32 dev eth0"),
        "guest client: way to 10.1.2.0/24",
        "another way, or none",
    ),
    "the client unreachable for the server": (
        lambda i: i.ip("server", "route replace unreachable 10.1.0.0/24"),
        "guest server: way to 10.1.0.0/24",
        "another way, or none",
    ),
    "a second address of the client": (
        lambda i: i.ip("client", "address add 10.1.0.99/24 dev eth0"),
        "guest client: address eth0",
        "EC2 drops what client sends",
    ),
    "clock of the server a minute ahead": (
        lambda i: i.clock("server", 60),
        "guest server: clock",
        "signed addresses are refused",
    ),
}
"""At places of their own, each by itself."""
WITH_CONSEQUENCES: dict[str, Sabotage] = {
    "another address of the server": (
        lambda i: i.readdressed("server", "10.1.2.77/24", "10.1.2.10/24"),
        "guest server: address eth0",
        "EC2 drops what server sends",
    ),
    "ClientNIC's middle down": (
        lambda i: i.ip("clientnic", "link set dev eth1 down"),
        "guest clientnic: link eth1",
        "is not on its link",
    ),
}
"""The kernel takes away routes with them."""
