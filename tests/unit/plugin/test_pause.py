"""What is said where a test failed and its lab stands still."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.plugin import pause


@pytest.mark.parametrize(
    ("walk_in", "words"),
    [
        ({}, "walk in: hopscope lab shell mine client   (hosts: client, server)"),
        ({"client": "ssh me@a", "server": "ssh me@b"}, "  client: ssh me@a\n  server: ssh me@b\n"),
    ],
    ids=["built", "found"],
)
def test_the_way_in_is_that_of_the_lab(walk_in: dict[str, str], words: str) -> None:
    lab = SimpleNamespace(name="mine", hosts={"client": 0, "server": 0}, walk_in=walk_in)
    session: Any = SimpleNamespace(
        chains={None: SimpleNamespace(lab=lab)}, options=SimpleNamespace(labs_dir=Path(".hopscope/labs"))
    )
    item: Any = SimpleNamespace(nodeid="test_x.py::test_y", funcargs={})
    told = pause.text(session, item)
    assert words in told
    assert told.startswith("\ntest_x.py::test_y failed; its SUT has been taken off.")
    assert told.endswith("\nEnter goes on. ")
