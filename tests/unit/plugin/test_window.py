"""Flows that failed come back whole from where their captures were thinned, and the window is sealed anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hopscope.errors import EnvironmentFault
from hopscope.plugin.window import Window
from hopscope.run import story, tape
from hopscope.run.stored import StoredTest

FLOW = "10.1.0.10:40000 > 10.1.2.10:8080"


class Captures:
    """A session that has ended; ``answer`` is what the hosts give, or an error of theirs."""

    def __init__(self, file: Path, answer: bytes | EnvironmentFault, *, thinned: bool = True) -> None:
        self.file, self.answer, self.thinned = file, answer, thinned
        self.asked: list[Sequence[str]] = []

    def bring(self, flows: Sequence[str]) -> None:
        self.asked.append(flows)
        if isinstance(self.answer, EnvironmentFault):
            raise self.answer
        self.file.write_bytes(self.answer)


def window(directory: Path, answer: bytes | EnvironmentFault, **given: Any) -> tuple[Window, Captures]:
    one = Window(SimpleNamespace(), directory)  # type: ignore[arg-type]
    one.capture_directory = directory / "capture-1"
    one.capture_directory.mkdir()
    file = one.capture_directory / "clientnic-eth0.pcap"
    file.write_bytes(b"thin")
    one.tape.note("end", folder="capture-1", files={file.name: tape.seal(file)})
    captures = Captures(file, answer, **given)
    one._stopped = captures  # type: ignore[assignment]
    return one, captures


def sealed(directory: Path) -> Any:
    entry = {"calls": tape.seal(directory / tape.CALLS)}
    test = StoredTest("a::b", directory, {}, entry)
    test.rewind()
    ended = test.find("end", "capture-1")
    assert ended is not None
    return ended["files"]["clientnic-eth0.pcap"]


def test_what_was_fetched_is_what_a_replay_expects(tmp_path: Path) -> None:
    one, captures = window(tmp_path, b"whole")
    one.bring([FLOW])
    assert captures.asked == [[FLOW]]
    assert sealed(tmp_path) == tape.seal(captures.file)
    assert [(step.title, step.outcome) for step in story.read(tmp_path)] == [
        ("Fetched 1 failing flow(s) whole from where they were captured", "passed")
    ]


def test_a_host_that_does_not_give_them_changes_nothing(tmp_path: Path) -> None:
    one, captures = window(tmp_path, EnvironmentFault("gone", host="clientnic"))
    one.bring([FLOW])
    assert sealed(tmp_path) == tape.seal(captures.file)
    assert [step.outcome for step in story.read(tmp_path)] == ["environment"]


def test_captures_that_came_whole_are_not_asked_for(tmp_path: Path) -> None:
    one, captures = window(tmp_path, b"whole", thinned=False)
    one.bring([FLOW])
    assert captures.asked == []
    assert story.read(tmp_path) == []
