"""Conversations between the hosts of a chain: ``talk.py`` and ``craft.py``, started where they belong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopscope.checks.check import Check
from hopscope.checks.expectation import standard
from hopscope.hosts.process import Process
from hopscope.hosts.program import python_program
from hopscope.hosts.ready import LogLine
from hopscope.lab.deploy import put_module
from hopscope.lab.settings.nft_table import Chain as NftChain
from hopscope.lab.settings.nft_table import NftTable
from hopscope.plugin.chains import Chain
from support import talk

TALK = Path(talk.__file__)
CRAFT = TALK.with_name("craft.py")
#: The kernel must not reset connections that it does not know.
HANDS_OFF = "tcp sport 39000-39099 tcp flags rst drop"


def address(chain: Chain) -> str:
    """Of the server."""
    return str(chain.topology.host("server").ports[0].address())


def claim(sut: str) -> str:
    """The placement that a built-in SUT stands for."""
    return "plain" if sut == "kernel" else sut


def patient() -> list[Check]:
    """Every standard check but of when the client is answered: programs that are started for one conversation speak
    late on a busy machine, which leaves that undecided. It is the claim of other tests."""
    return [check for check in standard() if check.name != "ordering"]


def call(chain: Chain, manner: str, port: int = 8080) -> dict[str, Any]:
    argv = [*python_program(chain.host("client"), TALK), "call", address(chain), str(port), manner]
    return dict(json.loads(chain.host("client").run(argv, timeout=30).text))


def again(chain: Chain, manner: str, count: int, *, from_port: int, port: int = 8080) -> list[dict[str, Any]]:
    """Calls one after the other, all from one port of the client."""
    numbers = [str(count), str(from_port)]
    argv = [*python_program(chain.host("client"), TALK), "again", address(chain), str(port), manner, *numbers]
    return [json.loads(line) for line in chain.host("client").run(argv, timeout=60).text.splitlines()]


def serving(chain: Chain, manner: str, directory: Path, *, port: int = 8080, count: int = 1) -> Process:
    argv = [*python_program(chain.host("server"), TALK), "serve", address(chain), str(port), manner, str(count)]
    return chain.host("server").spawn(
        argv, name=f"talk-{port}", ready=LogLine("listening", stream="stdout"), directory=directory
    )


@contextmanager
def hands_off(chain: Chain) -> Iterator[None]:
    """The client's kernel leaves crafted connections alone."""
    rules = {"output": NftChain("type filter hook output priority 0; policy accept;", (HANDS_OFF,))}
    with chain.lab.applied(NftTable(chain.topology.role("client").name, "crafted", rules)):
        yield


def craft(chain: Chain, scene: str, *, from_port: int, port: int = 8080) -> dict[str, Any]:
    """Play a scene of ``craft.py`` on the client, within :func:`hands_off`."""
    client = chain.host("client")
    program = python_program(client, CRAFT)[-1]
    env = {} if client.here else {"PYTHONPATH": put_module(client, "scapy")}
    argv = [client.python, program, scene, address(chain), str(port), str(from_port)]
    return dict(json.loads(client.run(argv, timeout=40, env=env).text))
