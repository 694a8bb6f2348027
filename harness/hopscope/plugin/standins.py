"""What stands in a replay where a live session has a lab, its hosts, a capture window and traffic.

Each answers from the stored test as far as that was recorded. What only a lab can do skips the test, and the reason
names what was asked: ``needs a live lab: client.run(['ip', 'route'])``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hopscope.checks.verdict import Verdict
from hopscope.errors import HarnessFault, ToolMissing, UsageError
from hopscope.hosts.executor import Result
from hopscope.lab.lab import Lab
from hopscope.lab.setting import SettingRecord
from hopscope.model.topology import Topology
from hopscope.plugin.chains import Chain
from hopscope.plugin.judged import Judged
from hopscope.plugin.recorded import arguments, defaults
from hopscope.plugin.window import Window
from hopscope.report.dissect import require_tools
from hopscope.run import tape
from hopscope.run.rundir import below
from hopscope.run.stored import StoredTest
from hopscope.traffic.iperf3 import Iperf3Report
from hopscope.traffic.iperf3 import report as iperf3_report
from hopscope.traffic.report import TrafficReport, parse
from hopscope.traffic.traffic import Traffic

_SHOWN = 160
"""Characters of a call in a reason."""


def needs(what: str) -> NoReturn:
    """Skip the test that asked for it; the report points at the test and not at this line."""
    shown = what if len(what) <= _SHOWN else what[: _SHOWN - 1] + "…"
    raise pytest.skip.Exception(f"needs a live lab: {shown}", _use_item_location=True)


def typed(name: str, given: Sequence[Any], named: Mapping[str, Any]) -> str:
    """A call as one would type it."""
    return f"{name}({', '.join([*map(repr, given), *(f'{key}={value!r}' for key, value in named.items())])})"


class Live:
    """Refuses the attributes of a live object that its subclass does not have: methods when they are called."""

    def __init__(self, label: str, kind: type | None) -> None:
        self._label, self._kind = label, kind

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("_"):  # Python and pytest ask for such; test authors do not
            raise AttributeError(name)
        asked = f"{self._label}.{name}"
        if self._kind is not None and not callable(getattr(self._kind, name, None)):
            needs(asked)

        def call(*given: Any, **named: Any) -> NoReturn:
            needs(typed(asked, given, named))

        return call


class StoredHost(Live):
    """A host of which only the name is left."""

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self.name = name

    @property
    def directory(self) -> Path:
        needs(f"{self.name}.directory")


class StoredLab(Live):
    """What the manifest says of a lab: its topology, what each link was made of, the settings with their read-back."""

    def __init__(self, topology: Topology, facts: Mapping[str, Any]) -> None:
        super().__init__("lab", Lab)
        self.name = str(facts["lab"])
        self.topology = topology
        self.hosts = {host.name: StoredHost(host.name) for host in topology.hosts}
        self.mechanism: Mapping[str, str] = facts.get("mechanism") or {}
        self.settings = [SettingRecord(**each) for each in facts.get("settings", [])]

    def host(self, name: str) -> StoredHost:
        return self.hosts.get(name) or StoredHost(name)

    def role(self, role: str) -> StoredHost:
        return self.hosts[self.topology.role(role).name]


class StoredWindow(Window):
    """The windows of a stored test, in their order. Captures are linked into ``directory``, never written to."""

    def __init__(self, chain: Chain, directory: Path, stored: StoredTest) -> None:
        super().__init__(chain, directory)
        self.stored = stored
        self._open_folder: str | None = None
        self._linked: set[str] = set()

    @property
    def is_open(self) -> bool:
        return self._open_folder is not None

    def open(self, sut: str | None) -> None:
        call = self.stored.next("open", typed("open", [sut], {}))
        _same_sut("open", "sut", call["sut"], sut)
        raise_stored(call)
        self._open_folder = call["folder"]
        self.capture_directory = None if self._open_folder is None else below(self.directory, self._open_folder)

    def start_sut(self, name: str) -> Any:
        call = self.stored.next("start_sut", typed("start_sut", [name], {}))
        _same_sut("start_sut", "name", call["sut"], name)
        raise_stored(call)
        return Live("sut", None)

    def stop_sut(self) -> None:
        pass

    def moment(self) -> int:
        return int(self.stored.next("moment", "the next block")["time_ns"])

    def settle(self) -> None:
        pass

    def wait_tables(self, *, lingering: bool = False) -> None:
        pass

    def end(self) -> Path | None:
        """The stored window's captures. Raises what closing it raised: that a lab alone can tell."""
        folder, self._open_folder = self._open_folder, None
        if folder is None:
            raise_stored(self.stored.find("close", None))
            return None
        linked = self._link(folder)
        raise_stored(self.stored.find("close", folder))
        return linked

    def look(self) -> Path:
        """The captures as they were when the window had ended; how far they had come before is not told here."""
        if self._open_folder is None:
            raise UsageError("there are no captures to look at: lab_uncaptured, or the window is closed")
        return self._link(self._open_folder)

    def _link(self, folder: str) -> Path:
        """Bring the captures of a window here, each as it was recorded."""
        linked = below(self.directory, folder)
        if folder in self._linked:
            return linked
        ended = self.stored.find("end", folder)
        if ended is None:
            raise HarnessFault(f"{self.stored.directory / folder}: the stored test did not end this window")
        linked.mkdir(exist_ok=True)
        for name, sealed in ended["files"].items():
            source = self.stored.file(f"{folder}/{name}", sealed)
            here = below(linked, name)
            here.unlink(missing_ok=True)
            here.symlink_to(source)
        self._linked.add(folder)
        return linked

    def abandon(self) -> None:
        self._open_folder = None

    def evidence(self) -> dict[str, object]:
        return {"suts": self.stored.entry.get("suts", {}), "captures": str(self.capture_directory)}


class StoredTraffic(Traffic):
    """The reports of a stored test, in the order of its calls. UsageError for a call that was another one then."""

    def __init__(self, lab: Lab, directory: Path, stored: StoredTest) -> None:
        super().__init__(lab, directory)
        self._stored = stored

    def connections(self, *given: Any, **named: Any) -> TrafficReport:
        asked = arguments(Traffic.connections, given, named)
        call = self._next(Traffic.connections, asked, given, named)
        text = self._stored.file(call["file"], call["seal"]).read_text()
        report = parse(text, call["server"])
        if asked["check_rate"]:
            report.check_rate()
        return report

    def iperf3(self, *given: Any, **named: Any) -> Iperf3Report:
        call = self._next(Traffic.iperf3, arguments(Traffic.iperf3, given, named), given, named)
        output = self._stored.file(call["file"], call["seal"]).read_bytes()
        return iperf3_report(Result(("iperf3",), 0, output, b"", 0.0), self._client)

    def server_counters(self) -> dict[str, int]:
        needs("traffic.server_counters()")

    def _next(
        self, method: Callable[..., Any], asked: Mapping[str, Any], given: Sequence[Any], named: Mapping[str, Any]
    ) -> dict[str, Any]:
        name = f"traffic.{method.__name__}"
        call = self._stored.next(method.__name__, typed(name, given, named))
        same_call(name, defaults(method) | call["arguments"], asked)
        if "file" not in call:  # else the report tells what it raised, judged by today's rules
            raise_stored(call)
        return call


class StoredJudged(Judged):
    def second_opinion(self, sample: int = 20) -> Verdict:
        """As ever where tshark is there: a replay may be on a machine without it."""
        try:
            require_tools()
        except ToolMissing as missing:
            pytest.skip(f"needs tshark for second_opinion(): {missing.message}")
        return super().second_opinion(sample)


def raise_stored(call: Mapping[str, Any] | None) -> None:
    """What a stored call raised, if it was made and did."""
    if call is not None and call.get("fault"):
        raise tape.revived(call["fault"])


def _same_sut(call: str, argument: str, stored: str | None, asked: str | None) -> None:
    """A file named with its whole path may lie elsewhere today, as on another machine."""
    paths = [Path(each) for each in (stored, asked) if each is not None and Path(each).is_absolute()]
    if len(paths) < 2 or paths[0].name != paths[1].name:
        same_call(call, {argument: stored}, {argument: asked})


def same_call(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """UsageError with both, where they differ."""
    differing = [key for key in {**asked, **stored} if stored.get(key) != asked.get(key)]
    if differing:
        then = typed(name, [], {key: stored.get(key) for key in differing})
        now = typed(name, [], {key: asked.get(key) for key in differing})
        raise UsageError(f"this is not the test that was stored: it called {then}, and now calls {now}")
