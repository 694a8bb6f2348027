"""The state directory of a lab: its name, and who holds it. Processes are told apart by pid and start time."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LABS = Path(".hopscope/labs")
FILE = "lab.json"
START_TIME_FIELD = 19  # of /proc/PID/stat after the command's closing parenthesis; proc_pid_stat(5), field 22


@dataclass(frozen=True)
class ProcessId:
    """A process, never confused with a later one of the same number. ``start`` is in clock ticks since boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start


@dataclass(frozen=True)
class LabState:
    """What ``lab.json`` holds. ``namespaces`` are descriptors of the keeper; ``mechanisms`` say how links are made.

    A lab that was handed to a holder (its ``owner`` then) also says until when it is held (``expires``, seconds since
    the epoch), its delay lines and settings, the file of its topology, and a SUT that was started to stay.
    """

    name: str
    owner: ProcessId
    keeper: ProcessId
    own_user_namespace: bool
    namespaces: dict[str, int]
    mechanisms: dict[str, str]
    topology: dict[str, Any]
    expires: float | None = None
    lines: dict[str, ProcessId] = field(default_factory=dict)
    settings: tuple[dict[str, str], ...] = ()
    source: str | None = None
    sut: str | None = None

    @property
    def held(self) -> bool:
        """It stays: a holder has its life-line, and no session ends it."""
        return self.expires is not None

    def write(self, directory: Path) -> None:
        """In one step: a reader sees the whole file or none."""
        draft = directory / f"{FILE}.new"
        draft.write_text(json.dumps(asdict(self), indent=2))
        draft.rename(directory / FILE)


def read(directory: Path) -> LabState | None:
    """The state in a directory; None where there is none, or it is damaged."""
    try:
        data = json.loads((directory / FILE).read_text())
        data |= {"owner": ProcessId(**data["owner"]), "keeper": ProcessId(**data["keeper"])}
        data["lines"] = {link: ProcessId(**line) for link, line in data.get("lines", {}).items()}
        data["settings"] = tuple(data.get("settings", ()))
        return LabState(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def this_process() -> ProcessId:
    return identify(os.getpid())


def identify(pid: int) -> ProcessId:
    """Raises ProcessLookupError when there is no such process."""
    start = start_time(pid)
    if start is None:
        raise ProcessLookupError(pid)
    return ProcessId(pid, start)


def start_time(pid: int) -> int | None:
    """When a process started; None when there is none, or it is a zombie, which holds nothing any more."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[START_TIME_FIELD])
    return None


def labs(root: Path) -> list[tuple[Path, LabState | None]]:
    """Every directory of labs below ``root``, with the state in it."""
    if not root.is_dir():
        return []
    return [(path, read(path)) for path in sorted(root.iterdir()) if path.is_dir()]


def sweep(root: Path) -> list[Path]:
    """Remove the directories of labs whose keeper has gone: the kernel has taken everything else. Returns them.

    A directory without a state file may belong to a lab that is being built this moment, so only what has one goes.
    """
    gone = [path for path, state in labs(root) if state is not None and not state.keeper.alive]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone
