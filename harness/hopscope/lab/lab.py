"""A lab: hosts and links that are up, and the only owner of what has to be cleaned up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hopscope.errors import EnvironmentFault, HopscopeError, LabFailed, NotOurs, UsageError
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.lab.lifeline import Lifeline
from hopscope.lab.setting import Setting, SettingRecord
from hopscope.lab.settings.impairment import ENDS, LineImpairment, NetemImpairment, ask_line
from hopscope.model.topology import Impairment, Topology, suggestion

T = TypeVar("T")


class Lab:
    """Hosts and links that are up.

    ``hosts`` are the executors by name, ``mechanism`` how each link is made (``veth``, ``netem``, ``tap-line``,
    ``packet-line``), ``settings`` what was changed and read back, in order. Whoever makes a lab registers its end
    with ``enter`` and ``on_close``; everything ends in reverse order, and what goes wrong then is collected, so that
    one failure does not keep the rest from ending.
    """

    def __init__(
        self,
        name: str,
        topology: Topology,
        directory: Path,
        hosts: Mapping[str, Executor],
        mechanism: Mapping[str, str],
        middles: Mapping[str, Executor] | None = None,
    ) -> None:
        self.name = name
        self.topology = topology
        self.directory = directory
        self.hosts = hosts
        self.mechanism = mechanism
        self.middles = middles or {}
        self.middle_ports: Mapping[str, tuple[str, str]] = {}
        """By link, the ports of a middle that is a host of somebody's; in one of ours they are ``ENDS``."""
        self.settings: list[SettingRecord] = []
        self.lines: dict[str, Process] = {}
        self.proven: Mapping[tuple[str, str], str] = {}
        self._in_force: list[tuple[str, str]] = []
        self.life_line: Lifeline | None = None
        self.same_clock = True
        """All hosts have one clock."""
        self.clock_error_ns: Mapping[str, int] = {}
        """By host, how far its clock is off at most, where a program there that sets it says so."""
        self.journal: Callable[[Setting], Callable[[], None]] | None = None
        """Told of each setting before it is applied; what it answers is called when the setting has been undone."""
        self.whole_bytes: Mapping[str, int] = {}
        """By host, up to which size a capture is fetched whole where the host is a box in between."""
        self.aside: Mapping[str, str] = {}
        """By port, what is no traffic of the lab and is not captured, in the language of pcap-filter(7)."""
        self.walk_in: Mapping[str, str] = {}
        """By host, the command by which a person gets there, where that is not `hopscope lab shell`."""
        self.closed = False
        self._stack = ExitStack()
        self._lock = threading.RLock()
        self._errors: list[BaseException] = []

    def host(self, name: str) -> Executor:
        """The executor of a host, or of the middle of a link by the link's name."""
        found = self.hosts.get(name) or self.middles.get(name)
        if found is None:
            raise UsageError(f"lab {self.name} has no host {name!r}{suggestion(name, self.hosts)}")
        return found

    def role(self, role: str) -> Executor:
        """The executor of the one host of a role."""
        return self.hosts[self.topology.role(role).name]

    def apply(self, setting: Setting, *, undo: bool = True) -> SettingRecord:
        """Apply a setting until the lab closes, and read it back.

        Raises SettingRefused with both values where it did not take; it is undone then. ``undo=False`` is for what
        belongs to hosts that are built for the lab and end with it. Threads may apply settings at the same time.
        """
        record, restore = self._applied(setting)
        with self._lock:
            self.settings.append(record)
            if undo:
                self.on_close(restore)
        return record

    def impairment(self, link: str, impairment: Impairment) -> Setting:
        """The setting that changes what a link does to packets, for ``apply`` or ``applied``.

        Raises EnvironmentFault for a bare veth: a link that may become impaired has to be built so; NotOurs for a link
        of hosts that were found.
        """
        mechanism = self.mechanism.get(link)
        if mechanism == "netem":
            return NetemImpairment(link, impairment, self.middle_ports.get(link, ENDS))
        if link in self.lines:
            return LineImpairment(link, impairment, self.lines[link], self.host(link).directory / "line.json")
        if mechanism == "found":
            told = "it changes only by a box in its middle (docs/ssh.md)"
            raise NotOurs(f"link {link} is of hosts that were found: {told}")
        remedy = "only a link declared with an impairment can change it"
        raise EnvironmentFault(f"link {link} is {mechanism or 'not there'}: {remedy}")

    def link_counters(self, link: str) -> dict[str, dict[str, int]]:
        """What a delay line has done so far, by direction (``a_to_b``, ``b_to_a``); empty for other links.

        ``lost`` and ``reordered`` were asked for; ``missed`` (a full kernel queue), ``dropped`` (a full queue of ours)
        and ``refused`` (a port that is down) were not, and spoil a measurement. NotOurs for a link of hosts that were
        found: nobody has counted.
        """
        if self.mechanism.get(link) == "found":
            raise NotOurs(f"link {link} is of hosts that were found: what it does to packets is not counted")
        if link not in self.lines:
            return {}
        answer = ask_line(self.lines[link], signal.SIGUSR1)
        return {way: answer[way] for way in ("a_to_b", "b_to_a")}

    @contextmanager
    def applied(self, *settings: Setting) -> Iterator[tuple[SettingRecord, ...]]:
        """Settings around a block, undone in reverse order at its end. Raises what an undo could not restore."""
        with ExitStack() as stack:
            records = []
            for setting in settings:
                record, undo = self._applied(setting)
                stack.callback(undo)
                self._in_force.append((setting.host, setting.name))
                stack.callback(self._in_force.remove, (setting.host, setting.name))
                records.append(record)
                self.settings.append(record)
            yield tuple(records)

    @property
    def in_force(self) -> frozenset[tuple[str, str]]:
        """Host and name of the settings that hold for a while (``applied``), by which drift is told from intent."""
        return frozenset(self._in_force)

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Enter a context manager that is left when the lab closes."""
        value = resource.__enter__()
        self._stack.push(lambda kind, error, trace: self._collect(lambda: resource.__exit__(None, None, None)))
        return value

    def on_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` when the lab closes."""
        self._stack.callback(self._collect, end)

    def close(self) -> None:
        """End everything in reverse order. Raises LabFailed with all that went wrong; again is harmless."""
        if self.closed:
            return
        self.closed = True
        self._stack.close()
        if self._errors:
            raise LabFailed(
                f"lab {self.name} ended with {len(self._errors)} error(s)",
                evidence="\n".join(dict.fromkeys(f"{type(error).__name__}: {error}" for error in self._errors)),
            )

    def leave(self) -> None:
        """Let go without ending anything: from here on whoever else has the life-line keeps the lab as it is."""
        self.closed = True
        self._stack.pop_all()
        if self.life_line is not None:
            self.life_line.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except LabFailed:
            if error is None:  # what failed first is what people need to see
                raise

    def _applied(self, setting: Setting) -> tuple[SettingRecord, Callable[[], None]]:
        executor = self.host(setting.host)
        before = setting.read(executor)
        undone = self.journal(setting) if self.journal is not None else None

        def undo() -> None:
            setting.undo(executor)
            if undone is not None:
                undone()
            after = setting.read(executor)
            if after != before:
                raise EnvironmentFault(
                    f"{setting.name} could not be brought back",
                    host=setting.host,
                    evidence=f"before: {before}\nnow:    {after}",
                )

        try:
            setting.apply(executor)
            seen = setting.verify(executor)
        except BaseException:
            setting.undo(executor)
            if undone is not None:
                undone()
            raise
        record = SettingRecord(setting.host, setting.name, setting.wanted, before, seen)
        return record, undo

    def _collect(self, end: Callable[[], object]) -> None:
        try:
            end()
        except (HopscopeError, OSError) as error:
            self._errors.append(error)
