"""A run that has ended, as a replay reads it: its tests by node id, what each asked of its lab, and what it reached.

Workers of pytest-xdist write a run each; those of one session that lie side by side are read as one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import HarnessFault, UsageError
from hopscope.run import rundir, tape


@dataclass
class StoredTest:
    """One test of a stored run. ``lab`` is what the manifest says of the lab that it ran on."""

    nodeid: str
    directory: Path
    lab: Mapping[str, Any]
    entry: Mapping[str, Any]
    _calls: list[dict[str, Any]] = field(default_factory=list)
    _waiting: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)

    @property
    def rtt_ns(self) -> int:
        """Achieved idle round trip during the test."""
        return int(self.entry["rtt_ns"])

    def rewind(self) -> None:
        """Read the calls, and begin with the first. HarnessFault when they are not as they were recorded."""
        path = self.directory / tape.CALLS
        if "calls" not in self.entry:
            self._calls, self._waiting = [], {}
            return
        tape.check(path, self.entry["calls"])
        self._calls, self._waiting = tape.read(path), {}
        for call in self._calls:
            self._waiting.setdefault(call["call"], deque()).append(call)

    def next(self, call: str, asked: str) -> dict[str, Any]:
        """The next call of this name; ``asked`` is the call in words. HarnessFault when the test made no more."""
        waiting = self._waiting.get(call)
        if not waiting:
            raise HarnessFault(f"the stored test did not come to {asked}: it made no further call of {call}")
        return waiting.popleft()

    def find(self, call: str, folder: str | None) -> dict[str, Any] | None:
        """The call of this name that concerned a window (None: an uncaptured one), if it was made: the last, since a
        window is sealed again when more of it was fetched."""
        same = (each for each in reversed(self._calls) if each["call"] == call and each.get("folder") == folder)
        return next(same, None)

    def file(self, name: str, sealed: Mapping[str, Any]) -> Path:
        """A file of the test, as it was recorded. HarnessFault when it is not."""
        path = rundir.below(self.directory, name)
        tape.check(path, sealed)
        return path


class StoredRun:
    """Raises UsageError for what is no run, or cannot be replayed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        manifest = rundir.read_manifest(self.directory)
        if manifest is None:
            raise UsageError(f"{directory}: no run directory; `hopscope runs list` shows those that there are")
        if "replay_of" in manifest:
            raise UsageError(f"{directory} is itself a replay: name what it is of, {manifest['replay_of']}")
        if "options" not in manifest:
            raise UsageError(f"{directory} was recorded by a version that kept too little for a replay")
        self.options: Mapping[str, Any] = {
            name: manifest["options"].get(name) for name in ("topology", "sut", "rtt_ms")
        }
        self.tests: dict[str, StoredTest] = {}
        self.outcomes: dict[str, Mapping[str, Any]] = {}
        for each in rundir.of_session(self.directory):
            self._read(each, rundir.read_manifest(each) or {})

    def _read(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        labs = {lab["lab"]: lab for lab in manifest.get("labs", [])}
        for entry in manifest.get("tests", []):
            if {"directory", "lab", "rtt_ns"} <= entry.keys() and entry["lab"] in labs:
                nodeid = entry["test"]
                place = rundir.below(directory, entry["directory"])
                self.tests[nodeid] = StoredTest(nodeid, place, labs[entry["lab"]], entry)
        for outcome in rundir.outcomes(directory):
            self.outcomes[outcome["test"]] = outcome
