"""The run directory: one folder per session, from which everything that people see is rendered.

    RUN/manifest.json            what ran, on what, with which settings
    RUN/outcomes.jsonl           what each test on a lab came to, with the outcome of each of its checks
    RUN/phases.jsonl             what was being done to a lab, and since when: see ``phase``
    RUN/labs/TOPOLOGY/           how the lab was built and proven; logs and preflight where it could not be
    RUN/tests/SLUG/test.json     which test it is, on which lab
    RUN/tests/SLUG/story.jsonl   what was done, step by step, for people
    RUN/tests/SLUG/capture-1/    one folder per capture window: *.pcap, taps.json, verdicts.json
    RUN/tests/SLUG/calls.jsonl   what the test asked of its lab, for a replay: see ``tape``
    RUN/tests/SLUG/*.out *.err   logs of the systems under test and of the traffic

The newest :data:`KEEP_RUNS` runs are kept, at most :data:`KEEP_BYTES` in all; a run whose session is alive is never
removed, nor one that a living session replays.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from hopscope.errors import HarnessFault, HopscopeError, UsageError
from hopscope.run import phase
from hopscope.run.phase import Phase

KEEP_RUNS = 20
KEEP_BYTES = 5 * 10**9
MANIFEST = "manifest.json"
FAULT = "fault.json"
FACTS = "test.json"
OUTCOMES = "outcomes.jsonl"
VERDICTS = "verdicts.json"
SCHEMA = 1

_SLUG_LENGTH = 80
_SLUG_BAD = re.compile(r"[^A-Za-z0-9_.=-]+")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that a reader sees the old file or the whole new one, never a part."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1, sort_keys=False) + "\n")
    part.replace(path)


def slug(nodeid: str) -> str:
    """A file name for a test, unique enough within a run, without separators or shell characters."""
    name = nodeid.removeprefix("tests/").removeprefix("integration/").replace(".py::", ".")
    return _SLUG_BAD.sub("-", name).strip("-.")[:_SLUG_LENGTH] or "test"


def below(directory: Path, name: object) -> Path:
    """What a file of a run names within it. HarnessFault for a name that leads out: a run may be a stranger's."""
    if not isinstance(name, str) or "\0" in name or PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise HarnessFault(f"{directory}: it names {name!r}, which is no place within it")
    return directory / name


class Run:
    """A run directory that is being written. Create with :meth:`create`."""

    def __init__(self, directory: Path, manifest: dict[str, Any]) -> None:
        self.directory = directory
        self._manifest = manifest

    @classmethod
    def create(cls, root: Path, facts: Mapping[str, Any], *, worker: str | None = None) -> Run:
        """Make a new run below ``root`` (for instance ``.hopscope/runs``) and remove what is beyond the bounds.

        ``worker`` is a part of its name, where several processes of a session have a run each.

        Raises UsageError when ``root`` cannot be written.
        """
        name = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
        name += f"-{worker}" if worker else ""
        directory = root / name
        try:
            directory.mkdir(0o700, parents=True)  # captures are what was sent: nobody else's
        except OSError as error:
            raise UsageError(
                f"cannot make the run directory {directory}: {error.strerror}; see --lab-run-dir"
            ) from None
        run = cls(directory, {"schema": SCHEMA, "run": name, "pid": os.getpid(), "started_ns": time.time_ns(), **facts})
        run._write()
        collect(root)
        return run

    def test_directory(self, nodeid: str) -> Path:
        """A fresh folder for one test; a rerun of the same test gets its own."""
        base = self.directory / "tests" / slug(nodeid)
        directory, attempt = base, 1
        while True:
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                attempt += 1
                directory = base.with_name(f"{base.name}.{attempt}")
            else:
                return directory

    def lab_directory(self, topology: str) -> Path:
        """The folder of a lab of this run: how it was built and proven, or why it could not be."""
        directory = self.directory / "labs" / slug(topology)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def record(self, key: str, value: Any) -> None:
        self._manifest[key] = value
        self._write()

    def append(self, key: str, value: Any) -> None:
        self._manifest.setdefault(key, []).append(value)
        self._write()

    def enter(self, begins: Phase) -> None:
        """Note what is done from now on."""
        phase.enter(self.directory, begins)

    def note_outcome(self, outcome: Mapping[str, Any]) -> None:
        """What a test came to, as a line of its own: a manifest is written anew as a whole each time."""
        with (self.directory / OUTCOMES).open("a") as file:
            file.write(json.dumps(outcome) + "\n")

    def finish(self) -> None:
        self._manifest.pop("pid", None)
        self.record("ended_ns", time.time_ns())

    def _write(self) -> None:
        write_json(self.directory / MANIFEST, self._manifest)


def note_fault(directory: Path, error: HopscopeError) -> None:
    """Leave a fault beside the captures, so that the folder explains itself."""
    fault = {"kind": error.kind, "message": error.message, "host": error.host, "evidence": error.evidence}
    write_json(directory / FAULT, fault)


def outcomes(directory: Path) -> list[dict[str, Any]]:
    """What the tests of a run came to; lines that a session which was killed left half are left out."""
    found = []
    file = directory / OUTCOMES
    for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and {"test", "outcome"} <= told.keys():
            found.append(told)
    return found


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of a run, or None where ``directory`` is not a run that can be read."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def capture_folders(directory: Path) -> list[Path]:
    """Every folder below ``directory`` (itself included) that holds captures, sorted by path."""
    found = {file.parent for pattern in ("*.pcap", "*.pcapng") for file in directory.rglob(pattern)}
    return sorted(found)


def runs(root: Path) -> list[Path]:
    """The runs below ``root``, newest first. Other folders are not ours and are left out, and links to runs."""
    if not root.is_dir():
        return []
    found = [each for each in root.iterdir() if not each.is_symlink() and (each / MANIFEST).is_file()]
    return sorted(found, key=lambda directory: directory.name, reverse=True)


def of_session(directory: Path) -> list[Path]:
    """This run, with those beside it that other workers of its session left."""
    session = (read_manifest(directory) or {}).get("session")
    if session is None:
        return [directory]
    same = (each for each in runs(directory.parent) if (read_manifest(each) or {}).get("session") == session)
    return sorted({directory, *same})


def collect(root: Path, keep: int = KEEP_RUNS, max_bytes: int = KEEP_BYTES) -> list[Path]:
    """Remove the oldest runs beyond ``keep`` or beyond ``max_bytes`` in all; returns what was removed.

    The newest run, runs whose process is alive, and what those replay stay, whatever their size.
    """
    removed: list[Path] = []
    total = 0
    found = runs(root)
    at_work = [directory for directory in found if alive(directory)]
    needed = {*at_work, *(source for each in at_work for source in _replayed(each))}
    for index, directory in enumerate(found):
        total += size(directory)
        if index == 0 or (index < keep and total <= max_bytes) or directory in needed:
            continue
        shutil.rmtree(directory, ignore_errors=True)
        removed.append(directory)
    return removed


def _replayed(directory: Path) -> set[Path]:
    """The runs beside this one that it replays: those of one session, see ``stored``."""
    source = (read_manifest(directory) or {}).get("replay_of")
    if source is None:
        return set()
    session = (read_manifest(Path(source)) or {}).get("session")
    beside = runs(directory.parent)
    return {
        each
        for each in beside
        if each.resolve() == Path(source)
        or (session is not None and (read_manifest(each) or {}).get("session") == session)
    }


def size(directory: Path) -> int:
    """Bytes of all files below a run."""
    return sum(_sizes(directory))


def _sizes(directory: Path) -> Iterator[int]:
    for file in directory.rglob("*"):
        try:
            status = file.lstat()
        except FileNotFoundError:  # a session of its own is at work there
            continue
        yield status.st_size


def alive(directory: Path) -> bool:
    """The session that writes this run is still at it."""
    pid = (read_manifest(directory) or {}).get("pid")
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
