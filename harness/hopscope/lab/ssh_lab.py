"""A lab whose hosts are reached by SSH through its management network: practice for hosts that somebody else owns.

The management network is in no namespace of this machine's own, so a connection enters the namespace of the host
``management`` and goes on from there: ``proxy_command`` of a target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hopscope.errors import ToolMissing
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.ssh_connection import Target
from hopscope.lab import management, sshd
from hopscope.lab.lab import Lab
from hopscope.lab.sshd import Account

KEY = "ssh-key"
ENDS = ("a", "b")


def open_doors(lab: Lab, accounts: Mapping[str, Account] | None = None, *, user: str = "root") -> dict[str, Target]:
    """Start an SSH server on every host but ``management``; how each is reached, by name.

    The topology of the lab is one of ``management.with_management``. One key opens all: ``KEY`` in the lab's directory.
    """
    center = lab.hosts[management.NAME]
    if not isinstance(center, NetnsExecutor):
        raise ToolMissing("SSH servers are for labs of namespaces")
    key = lab.directory / KEY
    sshd.make_key(center, key, comment=f"lab {lab.name}")
    return {
        name: _target(lab, host, center, key, (accounts or {}).get(name), user)
        for name, host in lab.hosts.items()
        if isinstance(host, NetnsExecutor) and name != management.NAME
    }


def open_middles(lab: Lab) -> dict[str, Target]:
    """An SSH server in the middle of each impaired link, whose delay line ends: whoever comes in may delay packets, and
    without somebody nothing crosses. By the names of links; ``ENDS`` are the ports. ``open_doors`` comes first."""
    targets = {}
    for link, middle in lab.middles.items():
        assert isinstance(middle, NetnsExecutor)
        lab.lines.pop(link).stop()
        middle.run(["ip", "link", "set", "dev", "lo", "up"])
        server = sshd.start(middle, middle.directory / "ssh", lab.directory / f"{KEY}.pub")
        targets[link] = Target(
            "127.0.0.1",
            sshd.PORT,
            keys=(lab.directory / KEY,),
            fingerprint=server.fingerprint,
            proxy_command=_way(middle),
        )
    return targets


def write_inventory(
    file: Path, lab: Lab, targets: Mapping[str, Target], middles: Mapping[str, Target] | None = None
) -> None:
    """The inventory of these hosts, of use for as long as the lab is up."""
    boxes = {link: f"wan{index}" for index, link in enumerate(middles or {})}
    hosts = {
        name: {
            "address": target.address,
            "port": target.port,
            "user": target.user,
            "keys": [str(key) for key in target.keys],
            "fingerprint": target.fingerprint,
            "proxy_command": list(target.proxy_command),
            "max_sessions": target.max_sessions,
        }
        for name, target in {**targets, **dict(zip(boxes.values(), (middles or {}).values(), strict=True))}.items()
    }
    links = {link: {"host": box, "ports": ENDS} for link, box in boxes.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    # JSON is YAML too, and quotes what YAML would read otherwise
    part.write_text(json.dumps({"description": f"lab {lab.name}", "hosts": hosts, "links": links}, indent=2) + "\n")
    part.replace(file)


def _target(
    lab: Lab, host: NetnsExecutor, center: NetnsExecutor, key: Path, account: Account | None, user: str
) -> Target:
    address = management.address(lab.topology, host.name)
    server = sshd.start(host, host.directory / "ssh", key.with_name(f"{KEY}.pub"), account)
    return Target(
        address,
        sshd.PORT,
        user,
        keys=(key,),
        fingerprint=server.fingerprint,
        proxy_command=_way(center),
        max_sessions=(account or Account()).max_sessions,
    )


def _way(inside: NetnsExecutor) -> tuple[str, ...]:
    """A connection that begins in a namespace of the lab."""
    return (
        *("nsenter", f"--net=/proc/{inside.keeper}/fd/{inside.netns_fd}", "--"),
        *("socat", "-", "TCP:{address}:{port},nodelay"),
    )
