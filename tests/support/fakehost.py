"""A host and its processes without a system: answers are scripted, what was asked is kept."""

from __future__ import annotations

import signal as signals
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from hopscope.hosts.executor import Result
from hopscope.model.topology import Topology


class FakeProcess:
    """``behave(process, signal)`` is called at the start (signal 0) and for each signal: it writes logs and ends it."""

    def __init__(
        self, name: str, directory: Path, argv: Sequence[str], behave: Callable[[FakeProcess, int], None]
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.pid = 1
        self.stdout, self.stderr = directory / f"{name}.out", directory / f"{name}.err"
        self.stdout.write_text("")
        self.stderr.write_text("")
        self.code: int | None = None
        self.signals: list[int] = []
        self._behave = behave
        behave(self, 0)

    @property
    def returncode(self) -> int | None:
        return self.code

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int:
        assert self.code is not None, f"{self.name} would run on"
        return self.code

    def signal(self, sig: int) -> None:
        if self.code is None:
            self.signals.append(sig)
            self._behave(self, sig)

    def stop(self, timeout: float = 5.0, sig: int = signals.SIGTERM) -> int:
        self.signal(sig)
        if self.code is None:
            self.code = -sig
        return self.code

    def lines(self) -> list[str]:
        return self.stdout.read_text().splitlines()

    def say(self, text: str, stream: str = "stderr") -> None:
        with getattr(self, stream).open("a") as file:
            file.write(text + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class FakeHost:
    """``answers`` maps the first word of a command to its output, or to a function of its argv."""

    def __init__(
        self,
        name: str,
        directory: Path,
        behave: Callable[[FakeProcess, int], None] = lambda process, sig: None,
        answers: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.behave = behave
        self.answers = answers or {}
        self.python, self.here = sys.executable, True
        self.commands: list[list[str]] = []
        self.processes: list[FakeProcess] = []

    def run(self, argv: Sequence[str], **_: Any) -> Result:
        self.commands.append(list(argv))
        answer = self.answers.get(argv[0], b"")
        answer = answer(list(argv)) if callable(answer) else answer
        code, out, err = answer if isinstance(answer, tuple) else (0, answer, b"")
        return Result(tuple(argv), code, out, err, 0.0)

    def spawn(self, argv: Sequence[str], *, name: str, directory: Path | None = None, **_: Any) -> FakeProcess:
        where = directory or self.directory
        where.mkdir(parents=True, exist_ok=True)
        process = FakeProcess(name, where, argv, self.behave)
        self.processes.append(process)
        return process

    def put(self, local: Path, remote: str) -> None:
        (self.directory / remote).write_bytes(local.read_bytes())

    def get(self, remote: str, local: Path) -> None:
        local.write_bytes((self.directory / remote).read_bytes())


def fake_lab(topology: Topology, hosts: dict[str, FakeHost]) -> Any:
    """What rooms above the lab use of one."""
    return SimpleNamespace(
        name="fake",
        topology=topology,
        hosts=hosts,
        settings=[],
        in_force=frozenset(),
        same_clock=True,
        aside={},
        clock_error_ns={},
        whole_bytes={},
    )
