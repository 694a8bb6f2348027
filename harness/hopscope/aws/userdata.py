"""What an instance does when it comes up: its tools, and its end, which it brings about itself."""

from __future__ import annotations

PACKAGES = "iproute iproute-tc nftables ethtool tcpdump iputils libpcap python3"


def script(minutes: int, *, forwards: bool) -> str:
    """For cloud-init. The end comes first: nothing that fails later keeps an instance alive, and its shutdown behaviour
    is to terminate."""
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
    return "\n".join(lines) + "\n"
