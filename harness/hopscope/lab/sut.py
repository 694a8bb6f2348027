"""A system under test that is running: its processes, what they say of themselves, and what exactly ran."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hopscope.errors import EnvironmentFault, HopscopeError, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import AllOf, ListeningPort, LogLine, Ready
from hopscope.lab.lab import Lab
from hopscope.lab.wait import wait_until
from hopscope.model.sut import Box, Sut

#: Boxes nearer to the server start first, so that nothing is promised to a client before it can be kept.
_START_ORDER = ("server", "servernic", "clientnic", "client")

#: A box that tells about itself answers SIGUSR1 within this many seconds.
_ANSWER_S = 2.0


class RunningSut:
    """The boxes of one SUT on the hosts of a lab, from enter to exit. Logs are ``directory/HOST-SUT.out`` and ``.err``.

    Raises EnvironmentFault on enter when a box does not get ready, with the tail of its log. A box that ended by
    itself before exit is told by :meth:`died`.
    """

    def __init__(self, lab: Lab, sut: Sut, directory: Path) -> None:
        self.sut = sut
        self._lab = lab
        self._directory = directory
        self._processes: dict[str, Process] = {}
        self._stack = ExitStack()
        self._died: dict[str, int] | None = None
        self.identity: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            boxes = self._lab.topology.boxes(self.sut)
            for host in sorted(boxes, key=self._rank):
                self._start(stack, self._lab.hosts[host], boxes[host])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every box, in reverse order. Safe to call twice."""
        self._died = self.died()
        self._stack.close()

    def died(self) -> dict[str, int]:
        """Exit codes, by host, of boxes that ended although nobody stopped them."""
        if self._died is not None:
            return self._died
        codes = {host: process.poll() for host, process in self._processes.items()}
        return {host: code for host, code in codes.items() if code is not None}

    def events(self) -> dict[str, list[dict[str, Any]]]:
        """What each box has said so far in JSON lines, by host; lines that are no JSON object are left out."""
        boxes = self._lab.topology.boxes(self.sut)
        return {
            host: [event for line in process.lines() if (event := _object(line)) is not None]
            for host, process in self._processes.items()
            if boxes[host].events is not None
        }

    def open_flows(self) -> int | None:
        """Flows in the tables of all boxes that tell, asked now by SIGUSR1; None where none has answered.

        Raises WaitTimeout when a box that has told before does not answer any more.
        """
        before = {host: len(counters) for host, counters in self._flow_counts().items()}
        for host in self.events():
            self._processes[host].signal(signal.SIGUSR1)

        def answered() -> bool:
            counts = self._flow_counts()
            return all(len(counts[host]) > before[host] or self._processes[host].poll() is not None for host in counts)

        try:
            wait_until(answered, timeout=_ANSWER_S, what="counters of the system under test")
        except WaitTimeout:
            if any(before.values()):
                raise
            return None
        counts = [counters[-1] for counters in self._flow_counts().values() if counters]
        return sum(counts) if counts else None

    def _flow_counts(self) -> dict[str, list[int]]:
        """Every number of open flows that each telling box has said so far, by host."""
        return {
            host: [int(event["flows"]) for event in events if event.get("event") == "counters" and "flows" in event]
            for host, events in self.events().items()
        }

    def _rank(self, host: str) -> int:
        role = str(self._lab.topology.host(host).role)
        return _START_ORDER.index(role) if role in _START_ORDER else len(_START_ORDER)

    def _start(self, stack: ExitStack, executor: Executor, box: Box) -> None:
        for remote, local in box.files.items():
            executor.put(Path(local), str(executor.directory / remote))
        values = {"python": sys.executable, "host_dir": str(executor.directory)}
        argv = box.command(**values)
        process = executor.spawn(
            argv,
            name=f"{executor.name}-{self.sut.name}",
            ready=_ready(box),
            ready_timeout=box.ready_timeout_s,
            user=box.user,
            cwd=box.cwd,
            env=dict(box.env) or None,
            directory=self._directory,
        )
        stack.callback(process.stop, sig=signal.Signals[f"SIG{box.stop}"])
        self._processes[executor.name] = process
        self.identity[executor.name] = self._identify(executor, box, argv, values)

    def _identify(self, executor: Executor, box: Box, argv: tuple[str, ...], values: dict[str, str]) -> dict[str, Any]:
        """Path, hash and version of what runs: a result that cannot say which program it judged is worth nothing."""
        identity: dict[str, Any] = {"argv": list(argv), **_program(argv[0])}
        command = box.version_command(**values)
        if command is not None:
            try:
                identity["version"] = executor.run(command, timeout=10).text
            except HopscopeError as error:
                raise EnvironmentFault(
                    f"SUT {self.sut.name} cannot tell its version by {' '.join(command)}",
                    host=executor.name,
                    evidence=str(error),
                ) from error
        return identity


def _ready(box: Box) -> Ready | None:
    if box.ready is None:
        return None
    conditions: list[Ready] = []
    if box.ready.line is not None:
        conditions.append(LogLine(box.ready.line))
    if box.ready.port is not None:
        conditions.append(ListeningPort(box.ready.port))
    return AllOf(tuple(conditions)) if len(conditions) > 1 else conditions[0]


def _program(name: str) -> dict[str, str]:
    path = shutil.which(name)
    if path is None:
        return {}
    return {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
