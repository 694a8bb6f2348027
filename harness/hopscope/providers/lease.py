"""A lease of a host that is not ours alone: one session at a time, and a guardian there that mends what we cannot.

Before a setting is changed, the commands that undo it are on the host, with the guardian (``lab.guardian``). While the
session lives it says so by signals. Its end, ``kill -9`` included, ends the connection, which the guardian notices; and
where the network is gone the signs of life stay away.
"""

from __future__ import annotations

import copy
import getpass
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts.executor import Executor, Result
from hopscope.hosts.process import Process
from hopscope.hosts.program import python_program
from hopscope.hosts.ready import LogLine
from hopscope.lab.lifeline import PROGRAMS
from hopscope.lab.setting import Setting

LOCK = "/run/hopscope.lease"
TTL_SECONDS = 60.0
SIGNS_IN_TTL = 4
RELEASE_SECONDS = 5.0


class Lease:
    """Held from its making to ``release``. Raises EnvironmentFault, naming the holder, where another session has it."""

    def __init__(self, host: Executor, session: str, *, ttl: float = TTL_SECONDS) -> None:
        self._host = host
        self._undo: list[str] = []
        self._lock = threading.Lock()
        owner = f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}, session {session}, "
        owner += time.strftime("since %Y-%m-%d %H:%M:%S")
        words = [*python_program(host, PROGRAMS / "guardian.py"), LOCK, str(host.directory / "undo"), f"{ttl:g}", owner]
        try:
            self._process: Process = host.spawn(words, name="guardian", ready=LogLine('"event": "held"', "stdout"))
        except EnvironmentFault as error:
            taken = _holder(error.evidence or "")
            if taken is None:
                raise
            raise EnvironmentFault(f"another session has this host: {taken}", host=host.name) from error
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(ttl / SIGNS_IN_TTL,), daemon=True)
        self._thread.start()

    def about_to(self, setting: Setting) -> Callable[[], None]:
        """Leave with the guardian what undoes a setting that is going to be applied. Call the answer once it is
        undone."""
        asked: Any = _Asked(self._host)
        rehearsal = copy.copy(setting)
        rehearsal.apply(asked)
        asked.changes.clear()
        rehearsal.undo(asked)
        entry = "".join(
            json.dumps({"argv": list(argv), "stdin": said}) + "\n" for argv, said in reversed(asked.changes)
        )
        with self._lock:
            self._undo.append(entry)
            self._leave()
        return lambda: self._undone(entry)

    def _undone(self, entry: str) -> None:
        with self._lock:
            self._undo.remove(entry)
            self._leave()

    def release(self) -> None:
        """The host is as it was found. Again is harmless."""
        self._ended.set()
        self._thread.join(RELEASE_SECONDS)
        try:
            self._process.signal(signal.SIGUSR2)
            self._process.wait(RELEASE_SECONDS)
        except ConnectionLost:
            return  # the guardian has noticed as well

    def over(self) -> EnvironmentFault | None:
        """What to tell whoever goes on after the lease has ended without us; None while it is held, and once it is
        released."""
        if self._ended.is_set():
            return None
        why = ""
        try:
            if self._process.poll() is None:
                return None
        except ConnectionLost as lost:
            why = lost.evidence or ""
        return EnvironmentFault(
            f"the lease of this host has ended, and the host has brought itself back (see {LOCK}.log there)",
            host=self._host.name,
            evidence=why,
        )

    def _leave(self) -> None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.writelines(self._undo)
            file.flush()
            self._host.put(Path(file.name), "undo")

    def _live(self, pause: float) -> None:
        told = True
        while not self._ended.wait(pause if told else pause / SIGNS_IN_TTL):
            try:
                self._process.signal(signal.SIGUSR1)
                told = True
            except EnvironmentFault:
                told = False  # whoever uses the connection next is told


class _Asked:
    """Hands for a rehearsal: what reads is done, what changes something is kept."""

    READS = frozenset({"cat", "show", "list", "get", "-k"})

    def __init__(self, host: Executor) -> None:
        self._host = host
        self.changes: list[tuple[Sequence[str], str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, **given: Any) -> Result:
        if self.READS & set(argv[:4]):
            return self._host.run(argv, stdin=stdin, **given)
        self.changes.append((argv, (stdin or b"").decode()))
        return Result(tuple(argv), 0, b"", b"", 0.0)


def _holder(evidence: str) -> str | None:
    """Who has the lease, in what a guardian that did not get it has said."""
    for line in evidence.splitlines():
        if line.startswith('{"event": "taken"'):
            return str(json.loads(line)["by"])
    return None
