"""What is new on a host after a box is told once, and by what it hangs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.lab import leftovers
from hopscope.lab.leftovers import Leftovers
from support.fakehost import FakeHost

LINKS = "1: lo: <LOOPBACK,UP> mtu 65536\n2: eth0@if7: <BROADCAST,UP> mtu 1500\n"
TUN = "3: tun0: <POINTOPOINT> mtu 1500\n"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_GRACE_S", 0.0)


def host(tmp_path: Path) -> FakeHost:
    """``links`` and ``routes`` are what it has now; deleting a link takes its routes along."""
    found = FakeHost("left", tmp_path / "left")
    found.links, found.routes = LINKS, ""  # type: ignore[attr-defined]

    def ip(argv: list[str]) -> bytes:
        if argv[1:3] == ["link", "del"]:
            found.links, found.routes = LINKS, ""  # type: ignore[attr-defined]
        return (found.links if "-oneline" in argv else found.routes).encode()  # type: ignore[attr-defined]

    found.answers = {"ip": ip}
    return found


def test_an_interface_that_changes_its_state_is_no_leftover(tmp_path: Path) -> None:
    left = host(tmp_path)
    look = Leftovers(left)
    left.links = LINKS.replace("UP> mtu 1500", "UP,LOWER_UP> mtu 1400")  # type: ignore[attr-defined]
    assert look.found() == []


def test_an_interface_that_was_left_is_named_once_and_taken_away_with_its_routes(tmp_path: Path) -> None:
    left = host(tmp_path)
    look = Leftovers(left)
    left.links = LINKS + TUN  # type: ignore[attr-defined]
    left.routes = "10.9.0.2 dev tun0 proto kernel scope link\nlocal 10.9.0.1 dev tun0 table local\n"  # type: ignore[attr-defined]
    assert look.found() == ["interface tun0"]
    assert ["ip", "link", "del", "dev", "tun0"] in left.commands


def test_a_route_by_an_interface_that_was_there_is_named(tmp_path: Path) -> None:
    left = host(tmp_path)
    look = Leftovers(left)
    left.routes = "192.0.2.0/24 dev eth0 scope link\n"  # type: ignore[attr-defined]
    (told,) = look.found()
    assert told.startswith("route 192.0.2.0/24 dev eth0 scope link (still there")
