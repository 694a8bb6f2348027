"""What a tunnel is asked while it is up: pings, bytes, counters, interruptions, and how far its captures have come.

Judging is not done here. Each answer can be noted, so that a replay, where nothing is up, gives the same ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter

from hopscope.errors import EnvironmentFault, HopscopeError, ProductFault, UsageError, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.program import clock_ahead_ns
from hopscope.lab.tunnel import RunningTunnel
from hopscope.lab.wait import wait_until
from hopscope.model.laid import LaidEnd
from hopscope.model.topology import Impairment, Link, Port, stable_mac
from hopscope.plugin.window import Window
from hopscope.run import tape
from hopscope.run.phase import Phase
from hopscope.traffic.path_mtu import PathMtu, path_mtu
from hopscope.traffic.ping import HEADERS, SMALL, PingReport, ping
from hopscope.traffic.transfer import PORT, TransferReport, transfer
from hopscope.wire import sidecar
from hopscope.wire.tunnel import SAID, Look

WAIT_S = 1.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Away:
    """``away_s`` is how long the harness kept the tunnel from carrying, ``again_s`` how long it took afterwards; None
    when it did not come back in time."""

    what: str
    away_s: float
    again_s: float | None


@dataclass(frozen=True)
class _Way:
    """From one host to the address of another, on the side of which ends."""

    source: Executor
    target: Executor
    address: str
    end: LaidEnd
    far: LaidEnd


def answered(method: Callable[Concatenate[Measuring, P], T]) -> Callable[Concatenate[Measuring, P], T]:
    """What this returns or raises is an answer that is noted, and that a replay gives again."""

    @cache
    def form() -> TypeAdapter[T]:
        return TypeAdapter(get_type_hints(method)["return"])

    @wraps(method)
    def call(self: Measuring, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._answer(method.__name__, form, lambda: method(self, *args, **kwargs))

    return call


class Measuring:
    """Asks a tunnel that is up. ``steps`` grows by each answer, as JSON has it."""

    def __init__(self, running: RunningTunnel) -> None:
        self.running = running
        self.steps: list[dict[str, Any]] = []
        self._window: Window | None = None

    @property
    def name(self) -> str:
        return self.running.sut.name

    @property
    def reconnects(self) -> bool:
        return self.running.tunnel.reconnects

    @property
    def carrier(self) -> str:
        """What carries the tunnel, in words."""
        return f"{self.running.laid.transport.protocol} port {self.running.laid.transport.port}"

    @property
    def window(self) -> Window:
        if self._window is None:
            raise UsageError("the tunnel is in no test's window: mark the test integration")
        return self._window

    def host(self, name: str) -> Executor:
        return self.running.lab.hosts[name]

    def call(self, method: Callable[..., Any], asked: dict[str, Any]) -> AbstractContextManager[Any]:
        """Around what a test asks: the call is noted with its arguments and with the answers that it rests on."""
        self.steps = []
        self.window.chain.run.enter(Phase.LOADING)
        return self.window.tape.call(f"tunnel.{method.__name__}", arguments=asked, steps=self.steps)

    def _answer(self, asked: str, form: Callable[[], TypeAdapter[T]], ask: Callable[[], T]) -> T:
        try:
            answer = ask()
        except HopscopeError as error:
            self.steps.append({"asked": asked, "fault": tape.fault(error)})
            raise
        self.steps.append({"asked": asked, "answer": form().dump_python(answer, mode="json")})
        return answer

    # -- answers ----------------------------------------------------------------------------------------------------

    @answered
    def pings(self, both: bool, sizes: Sequence[str | int], count: int, lans: bool) -> tuple[PingReport, ...]:
        reports, said = [], []
        for way in self._ways(both, lans):
            for size in sizes:
                self.running.refuse_dead()
                report = ping(
                    way.source, way.address, count=count, size=self._size(size, way),
                    wait_s=WAIT_S + self.running.rtt_s,
                )  # fmt: skip
                reports.append(report)
                said.append({"end": way.end.host, **report.document()})
        self._say("pings", said)
        return tuple(reports)

    @answered
    def transfer(self, bytes: int, lans: bool, timeout: float) -> TransferReport:
        way = next(iter(self._ways(False, lans)))
        self.running.refuse_dead()
        report = transfer(way.source, way.target, way.address, bytes=bytes, timeout=timeout)
        said = [
            {
                "end": end.host, "name": f"{each.host} to {each.to}", "port": PORT, "to_port": to_port,
                "asked": each.asked, "received": each.received, "same": each.same, "error": each.error,
                "start_ns": report.start_ns, "end_ns": report.end_ns,
            }
            for each, end, to_port in zip(report.ways, (way.end, way.far), (True, False), strict=True)
        ]  # fmt: skip
        self._say("transfers", said)
        return report

    @answered
    def counters(self, count: int) -> dict[str, dict[str, int]]:
        start_ns = time.time_ns()
        before = {end.host: self._counters(end) for end in self.running.laid.ends}
        reports = [
            ping(way.source, way.address, count=count, wait_s=WAIT_S + self.running.rtt_s)
            for way in self._ways(True, False)
        ]
        after = {end.host: self._counters(end) for end in self.running.laid.ends}
        changed = {host: {name: after[host][name] - before[host][name] for name in after[host]} for host in after}
        end_ns = max(report.end_ns for report in reports)
        said = [{"host": host, "moved": each, "start_ns": start_ns, "end_ns": end_ns} for host, each in changed.items()]
        self._say("counters", said)
        return changed

    @answered
    def established(self) -> dict[str, list[str]]:
        return self.running.established()

    @answered
    def mtus(self) -> tuple[PathMtu, PathMtu]:
        found = []
        for way in self._ways(True, False):
            self.running.refuse_dead()
            wanted = self._size("mtu", way)
            found.append(path_mtu(way.source, way.address, wanted=wanted, wait_s=0.3 + self.running.rtt_s))
        return found[0], found[1]

    @answered
    def idle(self, seconds: float) -> None:
        start_ns = time.time_ns()
        _pass(seconds)
        self._say("idles", [[start_ns, time.time_ns()]])

    @answered
    def cut(self, seconds: float, within_s: float) -> Away:
        lab, link = self.running.lab, self._link()
        nothing = Impairment(**(link.impairment.model_dump() | {"loss": 1.0}))
        start_ns, began = time.time_ns(), time.monotonic()
        with lab.applied(lab.impairment(link.name, nothing)):
            if self.running.carries():
                raise EnvironmentFault(f"link {link.name} loses everything, and the tunnel still carries: another way?")
            _pass(seconds - (time.monotonic() - began))
        return self._recover(f"link {link.name} cut", start_ns, time.monotonic() - began, within_s)

    @answered
    def reconnect(self, within_s: float) -> Away:
        start_ns, began = time.time_ns(), time.monotonic()
        self.running.break_transport()
        return self._recover("transport ended", start_ns, time.monotonic() - began, within_s)

    @answered
    def restart(self, host: str | None) -> float:
        """Seconds until it carries again."""
        if host is not None:
            self.running.laid.end(host)
        start_ns = time.time_ns()
        self.window.untap(*self._devices())
        seconds = self.running.restart(host)
        self.window.tap(*self._devices())
        what = f"daemon of {host or 'both ends'} restarted"
        self._say("interruptions", [{"what": what, "start_ns": start_ns, "end_ns": time.time_ns()}])
        return seconds

    @answered
    def look(self) -> Look:
        """How far the captures have come, and what has been said."""
        self.running.refuse_dead()
        taps = json.loads((self.window.look() / sidecar.NAME).read_text())["taps"]
        told = self.window.said["tunnel"]
        return Look(taps, {kind: len(told.get(kind, ())) for kind in SAID})

    @answered
    def state(self) -> tuple[list[str], str]:
        """Hosts whose daemon is stopped, and both daemons' logs, for whoever is told of a fault."""
        return self.running.stopped(), self.running.logs()

    def folder(self) -> Path:
        """Where the captures are that :meth:`look` has looked at."""
        if self.window.capture_directory is None:
            raise UsageError("lab_uncaptured leaves a tunnel nothing to be judged by")
        return self.window.capture_directory

    # -- the window of a test ---------------------------------------------------------------------------------------

    def ready(self, window: Window) -> None:
        """A window is about to open: see :meth:`revive`."""
        with window.tape.call("tunnel", sut=self.name, reconnects=self.reconnects, carrier=self.carrier):
            self.revive()

    def revive(self) -> None:
        """Start a tunnel anew that a test before has left dead or deaf, so that the next one is not blamed for it."""
        if self.running.dead() or not self.running.carries():
            self.running.restart()

    def begin(self, window: Window) -> None:
        self._window = window
        window.said["tunnel"] = self._description()
        window.before_end.append(self.running.refuse_dead)
        if window.is_open:
            window.tap(*self._devices())

    def finish(self) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        window.before_end.remove(self.running.refuse_dead)
        window.said.pop("tunnel")
        if window.is_open:
            window.untap(*self._devices())

    # -- parts ------------------------------------------------------------------------------------------------------

    def _recover(self, what: str, start_ns: int, away_s: float, within_s: float) -> Away:
        began = time.monotonic()
        try:
            wait_until(
                lambda: bool(self.running.dead()) or self.running.carries(), timeout=within_s, interval=0.02, what=what
            )
        except WaitTimeout:
            self.running.refuse_dead()
            return Away(what, away_s, None)
        self.running.refuse_dead()
        again_s = time.monotonic() - began
        self._say("interruptions", [{"what": what, "start_ns": start_ns, "end_ns": time.time_ns()}])
        return Away(what, away_s, again_s)

    def _ways(self, both: bool, lans: bool) -> Iterator[_Way]:
        first, second = self.running.laid.ends
        for near, far in ((first, second), (second, first))[: 2 if both else 1]:
            if not lans:
                yield _Way(self.host(near.host), self.host(far.host), str(far.inner[0]), near, far)
                continue
            if not near.behind or not far.behind:
                raise UsageError(f"topology {self.running.lab.topology.name} has no hosts behind both ends")
            source, target = near.behind[0], far.behind[0]
            port = self.running.lab.topology.host(target).ports[0]
            yield _Way(self.host(source), self.host(target), str(port.addresses[0].ip), near, far)

    def _size(self, size: str | int, way: _Way) -> int:
        if isinstance(size, int):
            return size
        if size == "small":
            return SMALL - HEADERS[4] + HEADERS[6 if ":" in way.address else 4]
        if size != "mtu":
            raise UsageError(f"no size {size!r} for a ping: small, mtu, or a number of bytes")
        devices = [self.running.device(end.host) for end in self.running.laid.ends]
        return min((each.mtu for each in devices if each is not None), default=SMALL)

    def _counters(self, end: LaidEnd) -> dict[str, int]:
        device = self.running.device(end.host)
        if device is None:
            raise ProductFault(f"{end.device} has gone", host=end.host, evidence=self.running.logs())
        return dict(device.counters)

    def _link(self) -> Link:
        """The link between the ends that can lose packets."""
        ours = self.running.lab.mechanism  # a link that was found says of itself that it cannot be changed
        able = [link for link in self.running.laid.links if link.impairment.active or ours[link.name] == "found"]
        if not able:
            names = ", ".join(link.name for link in self.running.laid.links)
            raise EnvironmentFault(f"no link between the ends can be cut: declare one of {names} with an rtt_ms")
        return able[0]

    def _devices(self) -> tuple[Port, ...]:
        return tuple(
            Port(host=end.host, name=end.device, mac=stable_mac(end.host, end.device)) for end in self.running.laid.ends
        )

    def _say(self, key: str, said: Iterable[Any]) -> None:
        self.window.said["tunnel"].setdefault(key, []).extend(said)

    def _description(self) -> dict[str, Any]:
        """Times are told by this machine's clock; ``ahead_ns`` says of which hosts' captures it is another one."""
        laid, tunnel = self.running.laid, self.running.tunnel
        hosts = self.running.lab.hosts
        with ThreadPoolExecutor(len(hosts)) as pool:
            ahead = dict(zip(hosts, pool.map(clock_ahead_ns, hosts.values()), strict=True))
        return {
            **({"ahead_ns": {host: ns for host, ns in ahead.items() if ns}} if any(ahead.values()) else {}),
            "sut": self.name,
            "secret": tunnel.secret,
            "keepalive_s": tunnel.keepalive_s,
            "transport": {**tunnel.transport.model_dump(), "server": laid.server},
            "outside": [port.key for link in laid.links for port in link.ports],
            "ends": {
                end.host: {
                    "device": end.device,
                    "underlay": end.underlay.name,
                    "outer": str(end.outer),
                    "inner": [str(each) for each in end.inner],
                    "networks": [str(each) for each in end.networks],
                }
                for end in laid.ends
            },
        }


def _pass(seconds: float) -> None:
    """Let time pass."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, timeout=max(seconds, 0) + 1, interval=0.05, what="time to pass")
