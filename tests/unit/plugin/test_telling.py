"""Lines of workers, shown by the controller while they come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hopscope.lab.wait import wait_until
from hopscope.plugin.telling import INPUT, Listener, Teller


class Shown(Teller):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


def worker(name: str, listener: Listener) -> Teller:
    config: Any = SimpleNamespace(workerinput={"workerid": name, INPUT: str(listener.path)})
    return Teller(config)


def test_lines_of_workers_are_shown_as_they_come_and_none_is_lost_at_the_end() -> None:
    shown = Shown()
    listener = Listener(shown)
    worker("gw0", listener).say("building chain")
    wait_until(lambda: shown.lines, timeout=5, what="the first line")
    assert shown.lines == ["[gw0] building chain"]
    worker("gw1", listener).say("chain is up")
    listener.close()
    assert shown.lines == ["[gw0] building chain", "[gw1] chain is up"]
    assert not listener.path.exists()


def test_half_a_line_waits_for_its_other_half() -> None:
    shown = Shown()
    listener = Listener(shown)
    with listener.path.open("a") as file:
        file.write('{"worker": "gw0", "li')
        file.flush()
        worker_line = 'ne": "whole"}\n'
        file.write(worker_line)
    listener.close()
    assert shown.lines == ["[gw0] whole"]
