"""What an instance does when it comes up: its tools, and its end, which it brings about itself."""

from __future__ import annotations

from collections.abc import Iterable

PACKAGES = "iproute iproute-tc nftables ethtool tcpdump iputils libpcap python3"


def script(minutes: int, *, forwards: bool, routes: Iterable[tuple[str, str, str]] = ()) -> str:
    """For cloud-init. The end comes first: nothing that fails later keeps an instance alive, and its shutdown behaviour
    is to terminate. ``routes`` are a destination, the subnet that the way there begins in, and the router there; names
    of interfaces differ per image, so each is found by its subnet."""
    lines = [
        "#!/bin/sh",
        f"shutdown -h +{minutes} 'the time of this run is over'",
        f"dnf install -y {PACKAGES} || apt-get install -y iproute2 nftables ethtool tcpdump iputils-ping python3",
    ]
    if forwards:
        lines += [
            "echo net.ipv4.ip_forward=1 >/etc/sysctl.d/90-hopscope.conf",
            "sysctl -p /etc/sysctl.d/90-hopscope.conf",
        ]
    for destination, subnet, router in routes:
        device = f"$(ip -o -4 addr show to {subnet} | awk '{{print $2; exit}}')"
        lines.append(f"ip route replace {destination} via {router} dev {device}")
    return "\n".join(lines) + "\n"
