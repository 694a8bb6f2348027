from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import WaitTimeout
from hopscope.lab import quiet

HEAD = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  1000      10    0    0    0     0          0         0  1000      10    0    0    0     0       0          0
"""


class Host:
    """A host whose eth0 has seen one packet more each time it is asked, until ``busy`` questions are over."""

    name = "client"
    here = True

    def __init__(self, busy: int) -> None:
        self.asked = 0
        self.busy = busy

    def run(self, argv: list[str], *, timeout: float) -> Any:
        assert argv == ["cat", "/proc/net/dev"]
        self.asked += 1
        count = min(self.asked, self.busy)
        return SimpleNamespace(text=HEAD + f"  eth0: 9000 {count} 0 0 0 0 0 0 8000 7 0 0 0 0 0 0")


def lab(host: Host) -> Any:
    topology = SimpleNamespace(host=lambda name: SimpleNamespace(ports=[SimpleNamespace(name="eth0")]))
    return SimpleNamespace(hosts={"client": host}, topology=topology)


def test_packets_counts_both_directions_of_the_ports_asked_for() -> None:
    assert quiet.packets(Host(busy=5), ["eth0", "eth1"]) == (1, 7)  # type: ignore[arg-type]


def test_silence_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "SHORTEST_S", 0.1)
    host = Host(busy=4)
    quiet.wait_quiet(lab(host), ["client"], timeout=5)
    assert host.asked > 4


def test_what_never_falls_silent_is_an_environment_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "SHORTEST_S", 0.1)
    with pytest.raises(WaitTimeout, match="silence"):
        quiet.wait_quiet(lab(Host(busy=10**9)), ["client"], timeout=0.3)
