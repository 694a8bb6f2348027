"""Hosts that are instances reached by AWS Systems Manager: no open port, no key, a command at a time.

Whatever runs is a job of its own on the host (``ssm_job``), with its output, its process number and its end in files;
the commands that start it and ask about it are short (``ssm_command``). See ``ssm_process`` for what stays,
``ssm_files`` for what is copied.
"""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import signal as signals
import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import ConnectionLost, EnvironmentFault
from hopscope.hosts.command import OUTPUT_LIMIT, Outcome
from hopscope.hosts.executor import Command, Result, conclude
from hopscope.hosts.process import CLOSE_SECONDS, Process, log_files
from hopscope.hosts.redact import has_secret, redact
from hopscope.hosts.remote import Account, RemoteExecutor
from hopscope.hosts.ssm_command import Api, Commands, Held
from hopscope.hosts.ssm_files import Files
from hopscope.hosts.ssm_process import SsmProcess

JOB = Path(__file__).with_name("ssm_job.py")
ANSWER_CHARACTERS = 20_000  # of the 24,000 that a command may say
REQUEST_CHARACTERS = 40_000
WAIT_SECONDS = 2.0  # that a command waits on the host for something to tell
WATCH_SECONDS = 10.0  # and that the look at all that stays does: news end it at once
WAITING = 3  # of the five commands that an agent runs at a time
COMMAND_SECONDS = 60.0
TRANSFER_SECONDS = 300.0
REMEMBERED = 100  # jobs that stayed and have ended; the host may not have forgotten them yet
LATE_SECONDS = 60.0  # after its limit until a job is taken for lost
TTL_SECONDS = 120.0


@dataclass
class SsmExecutor(RemoteExecutor):
    """The hands of one instance.

    ``directory`` is its scratch directory there, ``logs`` where output of its processes goes on this machine; processes
    that stay end when nobody has asked about them for ``ttl`` seconds. ``notes`` are what was met and survived.
    """

    name: str
    instance: str
    api: Api
    directory: Path
    logs: Path
    python: str = "python3"
    here: bool = False
    ttl: float = TTL_SECONDS
    processes: list[Process] = field(default_factory=list, repr=False)
    notes: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.commands = Commands(self.name, self.instance, self.api, token=f"hopscope-{secrets.token_hex(8)}")
        self.commands.diagnose = self._holders
        self._files = Files(self.name, self.api, self._ask)
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING)
        self._watched: list[SsmProcess] = []
        self._over: list[str] = []
        self._ended: deque[str] = deque(maxlen=REMEMBERED)
        self._watcher: threading.Thread | None = None
        self._made = False

    def _complete(self, command: Command, timeout: float) -> Outcome:
        token = secrets.token_hex(8)
        source = None
        if command.stdin:
            source = str(self.directory / "runs" / f"{token}.in")
            self._files.deliver(command.stdin, source, 0o600, what=f"the input of {command.argv[0]}")
        told = self._start(token, command, limit=timeout, stdin=source)
        until = time.monotonic() + timeout + LATE_SECONDS
        while told["end"] is None:
            if time.monotonic() >= until:
                words = redact(command.words, command.env)
                raise ConnectionLost(f"nothing was heard of `{words}`", host=self.name)
            with self._waiting:
                told = self._look({token: None}, WAIT_SECONDS)[token]
        outcome = self._outcome(token, told)
        self._over.append(token)
        if outcome.returncode is None:
            outcome.seconds = max(timeout, outcome.seconds) if told["end"]["why"] == "late" else 0.0
        return outcome

    def _concluded(self, command: Command, timeout: float, *, check: bool = True) -> Result:
        outcome = self._complete(command, timeout)
        try:
            return conclude(command.argv, outcome, timeout=timeout, check=check, host=self.name)
        except EnvironmentFault as error:
            evidence = None if error.evidence is None else redact(error.evidence, command.env)
            raise type(error)(redact(error.message, command.env), host=self.name, evidence=evidence) from None

    def _launch(self, command: Command, name: str, logs: Path | None) -> SsmProcess:
        token = f"stays-{secrets.token_hex(8)}"
        paths, files = log_files(logs or self.logs, name)
        told = self._start(token, command, stays=self.ttl)
        process = SsmProcess(
            name, self.name, token, told["pid"], paths, files, send=lambda sig, group: self._signal(token, sig, group)
        )
        self._watch(process)
        return process

    def put(self, local: Path, remote: str) -> None:
        self.prepare()
        self._files.put(local, str(self.directory / remote))

    def get(self, remote: str, local: Path) -> None:
        self.prepare()
        self._files.get(str(self.directory / remote), local)

    def prepare(self) -> None:
        """Make the scratch directory, and put there what looks after jobs."""
        with self._lock:
            if not self._made:
                where = shlex.quote(str(self.directory))
                program = base64.b64encode(JOB.read_bytes()).decode()
                script = f"mkdir -p -m 711 {where} && printf %s {program} | base64 -d >{where}/{JOB.name}"
                self._command(script, what=f"mkdir {self.directory}")
                self._made = True

    def close(self, timeout: float = CLOSE_SECONDS) -> list[BaseException]:
        """Stop every process that was spawned and remove the scratch directory. Returns what went wrong."""
        errors = self._end_all(timeout)
        watcher = self._watcher
        if watcher is not None:
            watcher.join(WATCH_SECONDS + timeout)
        if self._made:
            try:
                token = shlex.quote(f"/tmp/{self.commands.token}.pipes")  # noqa: S108
                self._command(f"rm -rf {shlex.quote(str(self.directory))}; exec rm -f {token}", what="rm -rf")
            except EnvironmentFault as error:
                errors.append(error)
        self._made = False
        return errors

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _start(
        self,
        token: str,
        command: Command,
        *,
        limit: float | None = None,
        stays: float = 0,
        stdin: str | None = None,
    ) -> dict[str, Any]:
        """What is known of a job once it has begun; one that is brief may have ended by then."""
        waits = limit is not None and self._waiting.acquire(blocking=False)
        over, self._over = self._over, []
        wait = WAIT_SECONDS if waits else 0.0
        try:
            told = self._asked(
                {
                    "do": "start",
                    "token": token,
                    "argv": self._clean(command, switch=command.user != "root"),
                    "stdin": stdin,
                    "limit": limit,
                    "stays": stays,
                    "wait": wait,
                    "most": ANSWER_CHARACTERS,
                    "largest": OUTPUT_LIMIT,
                    "over": over,
                },
                secret=has_secret(command.env),
            )
        except Held as held:
            self.notes.append(held.why)
            told = self._look({token: None}, 0.0)[token]
        finally:
            if waits:
                self._waiting.release()
        if "pid" not in told:
            why = told.get("failed") or "; ".join(self.notes[-1:])
            words = redact(command.words, command.env)
            raise EnvironmentFault(f"`{words}` did not begin", host=self.name, evidence=why)
        return told

    def _look(
        self, jobs: Mapping[str, tuple[int, int] | None], wait: float, *, known: Sequence[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        answer = self._ask("look", jobs=jobs, wait=wait, known=known, most=ANSWER_CHARACTERS)
        return dict(answer["jobs"])

    def _outcome(self, token: str, told: Mapping[str, Any]) -> Outcome:
        end = told["end"]
        outcome = Outcome(None if end["why"] else end["code"], seconds=end["seconds"])
        for stream, sink in (("out", outcome.stdout), ("err", outcome.stderr)):
            size = end[stream]
            if told[stream]["bytes"] >= size:
                if size:
                    sink.extend(zlib.decompress(base64.b64decode(told[stream]["data"]))[:size])
            else:
                path = str(self.directory / "runs" / token / stream)
                self._files.read(path, min(size, OUTPUT_LIMIT), sink.extend, what=f"output of job {token}")
        return outcome

    def _signal(self, token: str, number: int, group: bool) -> None:
        self._ask("signal", token=token, signal=signals.Signals(number).value, group=group)

    def _watch(self, process: SsmProcess) -> None:
        with self._lock:
            self._watched.append(process)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._keep_watch, name=f"{self.name}-jobs", daemon=True)
                self._watcher.start()

    def _keep_watch(self) -> None:
        heard = time.monotonic()
        while True:
            with self._lock:
                watched = list(self._watched)
                known = list(self._ended)
                if not watched:
                    self._watcher = None
                    return
            try:
                told = self._look({process.token: process.offsets for process in watched}, WATCH_SECONDS, known=known)
                heard = time.monotonic()
                over = [process for process in watched if process.hear(told[process.token])]
                self._over += [process.token for process in over]
                self._ended.extend(process.token for process in over)
            except EnvironmentFault as error:
                if time.monotonic() - heard < self.ttl:
                    continue
                over = watched
                for process in over:
                    process.lose(ConnectionLost(f"nothing is heard of {self.instance}: {error}", host=self.name))
            with self._lock:
                self._watched = [process for process in self._watched if process not in over]

    # -- requests -----------------------------------------------------------------------------------------------------

    def _ask(self, do: str, **given: Any) -> dict[str, Any]:
        """A request that may be put again. Raises EnvironmentFault."""
        try:
            return self._asked({"do": do, **given})
        except Held as held:
            self.notes.append(held.why)
        try:
            return self._asked({"do": do, **given})
        except Held as held:
            raise EnvironmentFault(held.why, host=self.name) from None

    def _asked(self, request: dict[str, Any], *, secret: bool = False) -> dict[str, Any]:
        text = json.dumps({"root": str(self.directory), **request})
        if secret or (len(text) > REQUEST_CHARACTERS and request["do"] != "write"):
            file = str(self.directory / f"request-{secrets.token_hex(8)}")
            self._files.deliver(text.encode(), file, 0o600, what=f"the request of {request['do']}", secret=secret)
            given = f"@{file}"
        else:
            given = base64.b64encode(text.encode()).decode()
        words = shlex.join([self.python, "-I", "-S", str(self.directory / JOB.name), given])
        seconds = TRANSFER_SECONDS if request["do"] in ("fetch", "send", "describe") else COMMAND_SECONDS
        said = self.commands.run(
            f"exec {words}",
            what=request["do"],
            seconds=seconds,
            expected=max(request.get("wait", 0), seconds - COMMAND_SECONDS),
        )
        try:
            answer = json.loads(said)
        except ValueError:
            raise EnvironmentFault(
                f"the answer to {request['do']} was cut", host=self.name, evidence=said[-200:]
            ) from None
        if not isinstance(answer, dict):
            raise EnvironmentFault(f"the answer to {request['do']} is none", host=self.name, evidence=said[-200:])
        return answer

    def _command(self, script: str, *, what: str) -> None:
        try:
            self.commands.run(script, what=what, seconds=COMMAND_SECONDS)
        except Held as held:
            raise EnvironmentFault(held.why, host=self.name) from None

    def _holders(self, pipes: list[str]) -> str:
        """In words, who holds these pipes."""
        try:
            found = self._asked({"do": "holders", "pipes": pipes})["holders"]
        except (Held, EnvironmentFault) as error:
            return f"something that could not be found ({error})"
        return ", ".join(f"process {pid} (`{redact(words)}`)" for pid, words in found.items()) or "nothing that runs"
