"""The ways over the chain that `datapath.py` and `congestion.py` compare, and the labs that they are compared in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import report
from hopscope import data
from hopscope.errors import HopscopeError
from hopscope.lab.lab import Lab
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lab.sut import RunningSut
from hopscope.model.document import load_topology
from hopscope.model.sut import Sut
from hopscope.providers.netns import NetnsProvider
from hopscope.traffic.traffic import Traffic

KERNEL, FAST_OPEN = "kernel", "fast-open"


@dataclass(frozen=True)
class Way:
    """What sits on the path, and whether the client sends its request with the SYN."""

    name: str
    sut: Sut

    @property
    def fast_open(self) -> bool:
        return self.name == FAST_OPEN


def ours(datapath: str, placement: str) -> Way:
    """A reference rewriter by the datapath named."""
    sut = data.sut(placement)
    boxes = {
        host: box.model_copy(update={"argv": (*(box.argv or ()), "--datapath", datapath), "ready_timeout_s": 30.0})
        for host, box in sut.boxes.items()
    }
    return Way(f"{datapath}/{placement}", sut.model_copy(update={"boxes": boxes}))


def every() -> list[Way]:
    """All ways, the one that the others are held against first."""
    others = [Way(name, data.sut(name)) for name in ("haproxy", "synproxy")]
    datapaths = [("scapy", "stamp"), ("afpacket", "hold"), ("afpacket", "stamp"), ("bpf", "hold"), ("bpf", "stamp")]
    kernel = data.sut("kernel")
    return [Way(KERNEL, kernel), Way(FAST_OPEN, kernel), *others, *(ours(*each) for each in datapaths)]


def present(built: Lab, ways: Sequence[Way], directory: Path) -> list[Way]:
    """Those that carry two connections on this machine; of the others a line says why they do not."""
    found = []
    for way in ways:
        try:
            with (
                RunningSut(built, way.sut, directory),
                Traffic(built, directory) as traffic,
            ):
                done = traffic.connections(2, check_rate=False, fast_open=way.fast_open)
        except HopscopeError as error:
            report.absent(way.name, str(error))
            continue
        if done.completed == 2:
            found.append(way)
        else:
            report.absent(way.name, done.explain())
    return found


def turns(ways: Sequence[Way], rounds: int) -> Iterator[tuple[int, Way]]:
    """(round, way): in every round each way once, each first in turn."""
    for number in range(rounds):
        first = number % len(ways)
        yield from ((number, way) for way in (*ways[first:], *ways[:first]))


@contextmanager
def lab(name: str, directory: Path, *, offloads: bool) -> Iterator[Lab]:
    """A built-in topology, whose server takes requests with the SYN from who sends them."""
    provider = NetnsProvider()
    built = provider.acquire(
        load_topology(data.path(f"topologies/{name}.yaml")), directory=directory, offloads=offloads
    )
    try:
        with built.applied(Sysctl("server", "net.ipv4.tcp_fastopen", "3")):
            yield built
    finally:
        provider.release(built)


def say(text: str) -> None:
    """Where the run is, for who watches it."""
    print(text, file=sys.stderr, flush=True)
