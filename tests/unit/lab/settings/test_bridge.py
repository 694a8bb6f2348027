from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope.errors import SettingRefused
from hopscope.lab.settings.bridge import APART, BRIDGE, Bridge
from support.fakes import fake_host


class Box:
    """Ports that belong to a bridge or not; ``stubborn`` ones never do."""

    def __init__(self, stubborn: str = "") -> None:
        self.masters: dict[str, str] = {"a": "", "b": "", "c": "other"}
        self.stubborn = stubborn

    def answer(self, argv: Sequence[str], stdin: bytes | None) -> str | int:
        match list(argv):
            case ["ip", "-json", "link", "show"]:
                return json.dumps([{"ifname": port, "master": master} for port, master in self.masters.items()])
            case ["ip", "link", "set", "dev", port, "master", master, "up"] if port != self.stubborn:
                self.masters[port] = master
            case ["ip", "link", "del", name]:
                self.masters = {port: "" if master == name else master for port, master in self.masters.items()}
        return ""


def test_life(tmp_path: Path) -> None:
    box = Box()
    host = fake_host(tmp_path, box.answer)
    setting = Bridge("wan", ("a", "b"))
    assert setting.read(host) == APART
    setting.apply(host)
    assert setting.verify(host) == "a b"
    assert box.masters == {"a": BRIDGE, "b": BRIDGE, "c": "other"}
    setting.undo(host)
    assert setting.read(host) == APART


def test_a_port_that_does_not_join_is_refused(tmp_path: Path) -> None:
    host = fake_host(tmp_path, Box(stubborn="b").answer)
    setting = Bridge("wan", ("a", "b"))
    setting.apply(host)
    with pytest.raises(SettingRefused, match=r"wanted: a b\n *seen: *a$"):
        setting.verify(host)
