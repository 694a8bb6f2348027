"""A system under test that is running: its processes, what they say of themselves, and what exactly ran."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hopscope.errors import EnvironmentFault, HarnessFault, HopscopeError, WaitTimeout
from hopscope.hosts.executor import Executor, Result
from hopscope.hosts.process import Process
from hopscope.hosts.ready import AllOf, ListeningPort, LogLine, Ready
from hopscope.lab import checkout, deploy, identity
from hopscope.lab.lab import Lab
from hopscope.lab.leftovers import Leftovers
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.wait import wait_until
from hopscope.model.laid import lay
from hopscope.model.sut import Box, NftRules, Sut, substitute

#: Boxes nearer to the server start first, so that nothing is promised to a client before it can be kept.
_START_ORDER = ("server", "servernic", "clientnic", "client")

#: A box that tells about itself answers SIGUSR1 within this many seconds.
_ANSWER_S = 2.0

#: A command of `setup` or `teardown` ends within this many seconds (compiling a program is not its task).
_COMMAND_S = 30.0

#: Versions told, by the host's directory, the command and the hashes of what it asks.
_VERSIONS: dict[str, str] = {}


class RunningSut:
    """The boxes of one SUT on the hosts of a lab, from enter to exit. Logs are ``directory/HOST-SUT.out`` and ``.err``.

    Raises EnvironmentFault on enter when a box does not get ready, with the tail of its log, or when it lacks what it
    needs. A box that ended by itself before exit is told by :meth:`died`; what a box left behind, by :attr:`left` after
    the stop, and raised as EnvironmentFault on exit.
    """

    def __init__(self, lab: Lab, sut: Sut, directory: Path) -> None:
        self.sut = sut
        self._lab = lab
        self._boxes = lab.topology.boxes(sut)
        self._laid = None if sut.tunnel is None else lay(lab.topology, sut)
        self._directory = directory
        self._processes: dict[str, Process] = {}
        self._stacks: dict[str, ExitStack] = {}
        self._starts: dict[str, int] = {}
        self._died: dict[str, int] | None = None
        self.identity: dict[str, dict[str, Any]] = {}
        self.left: list[str] = []

    def __enter__(self) -> Self:
        try:
            for host in self.hosts:
                self.start_box(host)
        except BaseException:
            self._end_boxes()
            raise
        return self

    @property
    def hosts(self) -> list[str]:
        """Where there is a box, in the order of the start."""
        return sorted(self._boxes, key=self._rank)

    def start_box(self, host: str) -> None:
        """Start the box of one host, which must not run. From the second time on its logs are numbered."""
        if host in self._stacks:
            raise HarnessFault(f"the box of SUT {self.sut.name} on {host} has been started already")
        self._starts[host] = self._starts.get(host, 0) + 1
        with ExitStack() as stack:
            self._start(stack, self._lab.hosts[host], self._boxes[host])
            self._stacks[host] = stack.pop_all()

    def stop_box(self, host: str) -> None:
        """End the box of one host; the others stay."""
        self._processes.pop(host, None)
        if (stack := self._stacks.pop(host, None)) is not None:
            stack.close()

    def process(self, host: str) -> Process | None:
        """What stays running on a host, None where nothing does."""
        return self._processes.get(host)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.refuse_leftovers()

    def stop(self) -> None:
        """End every box, in reverse order. Safe to call twice."""
        self._died = self.died()
        self._end_boxes()

    def _end_boxes(self) -> None:
        with ExitStack() as all_of_them:
            for host in self.hosts:
                if (stack := self._stacks.pop(host, None)) is not None:
                    all_of_them.push(stack)

    def refuse_leftovers(self) -> None:
        """Raise EnvironmentFault for what the stopped boxes left behind, once."""
        left, self.left = self.left, []
        if left:
            raise EnvironmentFault(f"SUT {self.sut.name} left behind: {'; '.join(left)}")

    def died(self) -> dict[str, int]:
        """Exit codes, by host, of boxes that ended although nobody stopped them."""
        if self._died is not None:
            return self._died
        codes = {host: process.poll() for host, process in self._processes.items()}
        return {host: code for host, code in codes.items() if code is not None}

    def events(self) -> dict[str, list[dict[str, Any]]]:
        """What each box has said so far in JSON lines, by host; lines that are no JSON object are left out."""
        return {
            host: [event for line in process.lines() if (event := _object(line)) is not None]
            for host, process in self._processes.items()
            if self._boxes[host].events is not None
        }

    def open_flows(self, *, lingering: bool = False) -> int | None:
        """Flows in the tables of all boxes that tell, asked now by SIGUSR1; None where none has answered.

        ``lingering`` counts those too that are over and still remembered, where a box tells them apart.

        Raises WaitTimeout when a box that has told before does not answer any more.
        """
        before = {host: len(counters) for host, counters in self._counters().items()}
        for host in self.events():
            self._processes[host].signal(signal.SIGUSR1)

        def answered() -> bool:
            counts = self._counters()
            return all(len(counts[host]) > before[host] or self._processes[host].poll() is not None for host in counts)

        try:
            wait_until(answered, timeout=_ANSWER_S, what="counters of the system under test")
        except WaitTimeout:
            if any(before.values()):
                raise
            return None
        last = [counters[-1] for counters in self._counters().values() if counters]
        names = ("flows", "lingering") if lingering else ("flows",)
        return sum(int(each.get(name, 0)) for each in last for name in names) if last else None

    def _counters(self) -> dict[str, list[dict[str, Any]]]:
        """Every event with a number of flows that each telling box has said so far, by host."""
        return {
            host: [event for event in events if event.get("event") == "counters" and "flows" in event]
            for host, events in self.events().items()
        }

    def _rank(self, host: str) -> int:
        if self._laid is not None:  # whoever is connected to comes first
            return host != self._laid.server
        role = str(self._lab.topology.host(host).role)
        return _START_ORDER.index(role) if role in _START_ORDER else len(_START_ORDER)

    def _start(self, stack: ExitStack, executor: Executor, box: Box) -> None:
        values = {"python": executor.python, "host_dir": str(executor.directory)}
        if self._laid is not None:
            values |= self._laid.values(executor.name)
        checked_out = None if box.checkout is None else checkout.update(executor, box.checkout)
        self._check_needs(executor, box)
        for remote, local in box.files.items():
            if not Path(local).is_file():
                raise EnvironmentFault(f"SUT {self.sut.name} needs the file {local}{self._fetch()}", host=executor.name)
            executor.put(Path(local), str(executor.directory / remote))
        traces = Leftovers(executor)
        stack.callback(self._look_after, executor.name, traces)
        hands = _Hands(executor, box, traces.env | self._modules(executor, box, values))
        stack.callback(self._tear_down, hands, [substitute(each, **values) for each in box.teardown])
        for command in box.setup:
            hands.run(substitute(command, **values))
        if box.nft is not None:
            stack.enter_context(self._lab.applied(_table(executor.name, box.nft)))
        argv = box.command(**values)
        if argv:
            process = hands.spawn(argv, self._log_name(executor.name), self._directory)
            stack.callback(process.stop, sig=signal.Signals[f"SIG{box.stop}"])
            self._processes[executor.name] = process
        self.identity[executor.name] = self._identify(hands, argv, values)
        if checked_out is not None:
            self.identity[executor.name]["checkout"] = checked_out

    @staticmethod
    def _modules(executor: Executor, box: Box, values: dict[str, str]) -> dict[str, str]:
        """Packages of ours that the box runs or imports are copied to a host that is not this machine."""
        if executor.here:
            return {}
        commands = [box.command(**values), box.version_command(**values) or ()]
        run = (name for argv in commands for name in deploy.modules(argv, executor.python))
        names = dict.fromkeys([*run, *box.modules])
        paths = [deploy.put_module(executor, name) for name in names]
        return {"PYTHONPATH": ":".join(paths)} if paths else {}

    def _log_name(self, host: str) -> str:
        again = f"-{self._starts[host]}" if self._starts[host] > 1 else ""
        return f"{host}-{_file_name(self.sut.name)}{again}"

    def _check_needs(self, executor: Executor, box: Box) -> None:
        absent = [path for path in box.needs if executor.run(["test", "-e", path], check=False).returncode != 0]
        if absent:
            raise EnvironmentFault(
                f"SUT {self.sut.name} needs {', '.join(absent)}, which is not there{self._fetch()}", host=executor.name
            )

    def _fetch(self) -> str:
        return f"; {self.sut.fetch}" if self.sut.fetch else ""

    def _tear_down(self, hands: _Hands, commands: list[tuple[str, ...]]) -> None:
        for command in commands:
            try:
                hands.run(command)
            except HopscopeError as error:
                self.left.append(
                    f"{hands.executor.name}: what `{' '.join(command)}` should have ended ({error.message})"
                )

    def _look_after(self, host: str, traces: Leftovers) -> None:
        self.left += [f"{host}: {each}" for each in traces.found()]

    def _identify(self, hands: _Hands, argv: tuple[str, ...], values: dict[str, str]) -> dict[str, Any]:
        """Path, hash and version of what runs: a result that cannot say which program it judged is worth nothing."""
        box, executor = hands.box, hands.executor
        found: dict[str, Any] = {"kernel_forwarding": box.kernel_forwarding}
        if argv:
            found |= {"argv": list(argv), **identity.program(argv[0], executor)}
            if package := identity.module(argv, executor) if box.cwd is None else {}:
                found["module"] = package
        if box.modules:
            found["modules"] = {name: identity.package(name) for name in box.modules}
        if box.cwd is not None and (revision := identity.checkout(executor.directory / box.cwd, executor)):
            found["git"] = revision
        commands = {
            name: [list(substitute(each, **values)) for each in getattr(box, name)] for name in ("setup", "teardown")
        }
        found |= {name: words for name, words in commands.items() if words}
        if box.nft is not None:
            found["nft"] = _table(executor.name, box.nft).document
        if files := {remote: identity.identify(Path(local)) for remote, local in box.files.items()}:
            found["files"] = files
        put = {str(executor.directory / remote) for remote in box.files}
        words = [word for command in (argv[1:], *map(tuple, commands["setup"])) for word in command if word not in put]
        if read := identity.scripts(words, executor):
            found["reads"] = read
        command = box.version_command(**values)
        if command is not None:
            found["version"] = self._version(hands, command, found)
        return found

    def _version(self, hands: _Hands, command: tuple[str, ...], found: Mapping[str, Any]) -> str:
        """Asked once for what has the same hashes: a comparison starts the same program twenty times."""
        key = json.dumps([str(hands.executor.directory), command, found], sort_keys=True)
        if key not in _VERSIONS:
            try:
                _VERSIONS[key] = hands.run(command).text
            except HopscopeError as error:
                raise EnvironmentFault(
                    f"SUT {self.sut.name} cannot tell its version by {' '.join(command)}",
                    host=hands.executor.name,
                    evidence=str(error),
                ) from error
        return _VERSIONS[key]


class _Hands:
    """Commands of one box, as its user and in its environment."""

    def __init__(self, executor: Executor, box: Box, mark: Mapping[str, str]) -> None:
        self.executor = executor
        self.box = box
        self._env = {**box.env, **mark}
        self._sudo = box.sudo and executor.run(["id", "-u"]).text != "0"

    def run(self, argv: tuple[str, ...]) -> Result:
        """Raises CommandFailed with what the command said when it does not end with 0."""
        return self.executor.run(
            self._argv(argv), timeout=_COMMAND_S, user=self.box.user, cwd=self.box.cwd, env=self._env
        )

    def spawn(self, argv: tuple[str, ...], name: str, directory: Path) -> Process:
        return self.executor.spawn(
            self._argv(argv),
            name=name,
            ready=_ready(self.box),
            ready_timeout=self.box.ready_timeout_s,
            user=self.box.user,
            cwd=self.box.cwd,
            env=self._env,
            directory=directory,
        )

    def _argv(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """sudo cleans the environment, so what belongs there is said behind it."""
        if not self._sudo:
            return argv
        return ("sudo", "-n", "--", "env", *(f"{name}={value}" for name, value in self._env.items()), *argv)


def _table(host: str, rules: NftRules) -> NftTable:
    chains = {name: Chain(chain.hook, chain.rules) for name, chain in rules.chains.items()}
    return NftTable(host, rules.table, chains, rules.family)


def _file_name(sut: str) -> str:
    """A SUT may be a mix (``stamp,servernic=mine``) or have been named by a path."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", sut).strip("-.") or "sut"


def _ready(box: Box) -> Ready | None:
    if box.ready is None:
        return None
    conditions: list[Ready] = []
    if box.ready.line is not None:
        conditions.append(LogLine(box.ready.line))
    if box.ready.port is not None:
        conditions.append(ListeningPort(box.ready.port))
    return AllOf(tuple(conditions)) if len(conditions) > 1 else conditions[0]


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
