"""How a host is reached, said as a person would type it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hopscope.hosts.ssh_connection import Target

JUMP = Target("gate", 2222, "me")
VIA = "ssh -p 2222 me@gate -W %h:%p"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("10.0.0.1"), ["ssh", "root@10.0.0.1"]),
        (Target("box", 2200, "lab", keys=(Path("/a key"),)), ["ssh", "-p", "2200", "-i", "/a key", "lab@box"]),
        (Target("box", jump=JUMP), ["ssh", "-o", f"ProxyCommand={VIA}", "root@box"]),
        (
            Target("box", proxy_command=("socat", "-", "TCP:{address}:{port},nodelay")),
            ["ssh", "-o", "ProxyCommand=socat - 'TCP:%h:%p,nodelay'", "root@box"],
        ),
    ],
    ids=["plain", "port and key", "jump", "proxy"],
)
def test_what_a_person_types_goes_the_same_way(target: Target, words: list[str]) -> None:
    assert shlex.split(target.typed) == words
