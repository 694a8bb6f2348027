"""The fixture ``tunnel``: what a test asks of a tunnel, and what the captures say to it.

Each call measures, then has every tap write what it has seen so far, and holds the measurement against it. What fails
raises at once: ProductFault with the frames and both daemons' logs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hopscope.checks.keepalive import keepalive
from hopscope.checks.moved import moved
from hopscope.checks.pings import pings
from hopscope.checks.transfers import transfers
from hopscope.checks.transport import transport
from hopscope.checks.tunnel import TunnelCheck
from hopscope.checks.tunnel_health import weighed
from hopscope.checks.verdict import Evidence, Outcome, Verdict, failed, not_applicable, passed
from hopscope.errors import EnvironmentFault, ProductFault, UsageError, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.lab import drift
from hopscope.lab.tunnel import RunningTunnel
from hopscope.lab.wait import wait_until
from hopscope.model.laid import LaidEnd
from hopscope.model.sut import Sut
from hopscope.model.topology import Impairment, Link, Port, stable_mac
from hopscope.plugin.chains import Chain
from hopscope.plugin.judged import raise_for
from hopscope.plugin.window import Window
from hopscope.run.rundir import VERDICTS, write_json
from hopscope.traffic.path_mtu import PathMtu, path_mtu
from hopscope.traffic.ping import HEADERS, SMALL, PingReport, ping
from hopscope.traffic.transfer import PORT, TransferReport, transfer
from hopscope.wire.tunnel import TunnelTrace

#: A tunnel carries again this soon after its transport is possible again, unless the test says otherwise.
AGAIN_S = 15.0
WAIT_S = 1.0


@dataclass(frozen=True)
class Recovery:
    """``away_s`` is how long the harness kept the tunnel from carrying, ``again_s`` how long it took afterwards."""

    what: str
    away_s: float
    again_s: float


@dataclass(frozen=True)
class _Way:
    """From one host to the address of another, on the side of which ends."""

    source: Executor
    target: Executor
    address: str
    end: LaidEnd
    far: LaidEnd


class Tunnel:
    """A tunnel that is up, in the window of the test that runs."""

    def __init__(self, running: RunningTunnel) -> None:
        self.running = running
        self.verdicts: list[Verdict] = []
        self._window: Window | None = None

    @property
    def name(self) -> str:
        return self.running.sut.name

    @property
    def reconnects(self) -> bool:
        """It claims to make a new transport by itself."""
        return self.running.tunnel.reconnects

    def host(self, name: str) -> Executor:
        """The hands of a host: ``tunnel.host("left").run([...])``."""
        return self.running.lab.hosts[name]

    # -- what a test asks -------------------------------------------------------------------------------------------

    def ping(
        self,
        *,
        both_directions: bool = True,
        sizes: Sequence[str | int] = ("small", "mtu"),
        count: int = 5,
        lans: bool = False,
    ) -> tuple[PingReport, ...]:
        """Every echo is answered, and was seen going into and coming out of the tunnel, as was its reply.

        ``sizes`` are "small" (84 bytes), "mtu" (the device's) or bytes of IP packet; nothing is fragmented. ``lans``
        pings from host to host behind the ends. Raises ProductFault saying where what was lost.
        """
        reports = []
        said = []
        for way in self._ways(both_directions, lans):
            for size in sizes:
                self.running.refuse_dead()
                report = ping(
                    way.source, way.address, count=count, size=self._size(size, way),
                    wait_s=WAIT_S + self.running.rtt_s,
                )  # fmt: skip
                reports.append(report)
                said.append({"end": way.end.host, **report.document()})
        self._say("pings", said)
        self._judge((pings(),), pings=len(said))
        return tuple(reports)

    def transfer(self, *, bytes: int = 1_000_000, lans: bool = False, timeout: float = 30.0) -> TransferReport:
        """So many bytes each way over one TCP connection arrive unchanged, and were seen on both devices."""
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
        self._judge((transfers(),), transfers=len(said))
        return report

    def counters(self, *, count: int = 10) -> dict[str, dict[str, int]]:
        """The counters of both devices move by what the captures saw go by. Returns what moved, by host."""
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
        self._judge((moved(),), counters=len(said))
        return changed

    def established(self) -> dict[str, list[str]]:
        """The transport's connection is established on both ends and carries; what ``ss`` says of it, by host."""
        seen = self.running.established()
        lacking = [host for host, lines in seen.items() if not lines]
        port = f"{self.running.laid.transport.protocol} port {self.running.laid.transport.port}"
        if not seen:
            verdict = not_applicable("established", f"{port} knows no connections")
        elif lacking:
            evidence = [Evidence(None, host, (), "a connection", f"none established on {host}") for host in lacking]
            told = f"no established connection on {port}: {', '.join(lacking)}"
            verdict = failed("established", told, judged=2, failed=len(lacking), evidence=evidence)
        else:
            verdict = passed("established", f"{port} on both ends", judged=2)
        self._conclude((verdict,))
        self.ping(sizes=("small",), count=2)
        self._judge((transport(),))
        return seen

    def mtu(self) -> tuple[PathMtu, PathMtu]:
        """Packets as large as the device says get through, each way; what was measured."""
        found = []
        for way in self._ways(True, False):
            self.running.refuse_dead()
            wanted = self._size("mtu", way)
            found.append(path_mtu(way.source, way.address, wanted=wanted, wait_s=0.3 + self.running.rtt_s))
        small = [each for each in found if not each.ok]
        if small:
            evidence = [Evidence(None, each.host, (), f"{each.wanted} bytes", str(each)) for each in small]
            verdict = failed("mtu", str(small[0]), judged=2, failed=len(small), evidence=evidence)
        else:
            verdict = passed("mtu", "; ".join(map(str, found)), judged=2)
        self._conclude((verdict,))
        self.ping(sizes=("mtu",), count=1)
        return found[0], found[1]

    def idle(self, seconds: float) -> None:
        """Nothing is sent for so long; the tunnel keeps itself alive as it claims to, and carries afterwards."""
        start_ns = time.time_ns()
        _pass(seconds)
        self._say("idles", [[start_ns, time.time_ns()]])
        self.ping(sizes=("small",), count=2)
        self._judge((keepalive(), transport()), idles=1)

    def cut(self, seconds: float = 1.0, *, within_s: float = AGAIN_S) -> Recovery:
        """The link between the ends loses everything for so long. Then the tunnel carries again, in time."""
        lab, link = self.running.lab, self._link()
        nothing = Impairment(**(link.impairment.model_dump() | {"loss": 1.0}))
        start_ns, began = time.time_ns(), time.monotonic()
        with lab.applied(lab.impairment(link.name, nothing)):
            if self.running.carries():
                raise EnvironmentFault(f"link {link.name} loses everything, and the tunnel still carries: another way?")
            _pass(seconds - (time.monotonic() - began))
        return self._recover(f"link {link.name} cut", start_ns, time.monotonic() - began, within_s)

    def reconnect(self, *, within_s: float = AGAIN_S) -> Recovery:
        """The transport's connection is ended on the way. Then the daemons make another, by themselves and in time."""
        if not self.reconnects:
            self._conclude(
                (not_applicable("recovery", f"{self.name} does not claim to reconnect (reconnects: false)"),)
            )
        start_ns, began = time.time_ns(), time.monotonic()
        self.running.break_transport()
        return self._recover("transport ended", start_ns, time.monotonic() - began, within_s)

    def restart(self, host: str | None = None) -> Recovery:
        """The daemon of an end (of both, without a host) is restarted: its device comes anew and as it was."""
        if host is not None:
            self.running.laid.end(host)
        start_ns = time.time_ns()
        self._untap()
        seconds = self.running.restart(host)
        self._tap()
        what = f"daemon of {host or 'both ends'} restarted"
        self._say("interruptions", [{"what": what, "start_ns": start_ns, "end_ns": time.time_ns()}])
        self._conclude((passed("recovery", f"{what}: carries again after {seconds:.2f} s", judged=1),))
        self.ping(sizes=("small",), count=2)
        return Recovery(what, 0.0, seconds)

    # -- the window of a test ---------------------------------------------------------------------------------------

    def revive(self) -> None:
        """Start a tunnel anew that a test before has left dead or deaf, so that the next one is not blamed for it."""
        if self.running.dead() or not self.running.carries():
            self.running.restart()

    def begin(self, window: Window) -> None:
        """From here on the calls are of this window."""
        self._window = window
        self.verdicts = []
        window.said["tunnel"] = self._description()
        window.before_end.append(self.running.refuse_dead)
        if window.is_open:
            self._tap()

    def finish(self) -> None:
        """The window is over, or the tunnel is about to go while it stays open."""
        window, self._window = self._window, None
        if window is None:
            return
        window.before_end.remove(self.running.refuse_dead)
        window.said.pop("tunnel")
        if window.is_open:
            window.untap(*self._devices())

    # -- parts ------------------------------------------------------------------------------------------------------

    @property
    def window(self) -> Window:
        if self._window is None:
            raise UsageError("the tunnel is in no test's window: mark the test integration")
        return self._window

    def _recover(self, what: str, start_ns: int, away_s: float, within_s: float) -> Recovery:
        began = time.monotonic()
        try:
            wait_until(
                lambda: bool(self.running.dead()) or self.running.carries(), timeout=within_s, interval=0.02, what=what
            )
        except WaitTimeout:
            self.running.refuse_dead()
            told = f"{what} for {away_s:.2f} s: does not carry within {within_s:g} s afterwards"
            self._conclude((failed("recovery", told, judged=1, failed=1, evidence=()),))
        self.running.refuse_dead()
        again_s = time.monotonic() - began
        self._say("interruptions", [{"what": what, "start_ns": start_ns, "end_ns": time.time_ns()}])
        told = f"{what} for {away_s:.2f} s: carries again after {again_s:.2f} s"
        self._conclude((passed("recovery", told, judged=1, metrics={"again_s": again_s}),))
        self.ping(sizes=("small",), count=2)
        return Recovery(what, away_s, again_s)

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
        able = [link for link in self.running.laid.links if link.impairment.active]
        if not able:
            names = ", ".join(link.name for link in self.running.laid.links)
            raise EnvironmentFault(f"no link between the ends can be cut: declare one of {names} with an rtt_ms")
        return able[0]

    def _devices(self) -> tuple[Port, ...]:
        return tuple(
            Port(host=end.host, name=end.device, mac=stable_mac(end.host, end.device)) for end in self.running.laid.ends
        )

    def _tap(self) -> None:
        self.window.tap(*self._devices())

    def _untap(self) -> None:
        self.window.untap(*self._devices())

    def _say(self, key: str, said: Iterable[Any]) -> None:
        self.window.said["tunnel"].setdefault(key, []).extend(said)

    def _judge(self, checks: Sequence[TunnelCheck], **last: int) -> None:
        """Hold the captures against what was said last: ``last`` tells how much of each kind."""
        self.running.refuse_dead()
        trace = TunnelTrace.load(self.window.look())
        trace = replace(trace, **{kind: getattr(trace, kind)[-number:] for kind, number in last.items()})
        self._conclude([weighed(check(trace), trace) for check in checks])

    def _conclude(self, verdicts: Sequence[Verdict]) -> None:
        self.record(verdicts)
        decisive = [each for each in verdicts if each.outcome is not Outcome.NOT_APPLICABLE]
        try:
            raise_for(decisive or verdicts)
        except ProductFault as fault:
            stopped = self.running.stopped()
            asleep = "".join(f"the daemon on {host} is stopped; " for host in stopped)
            evidence = "\n".join(part for part in (fault.evidence, self.running.logs()) if part)
            raise ProductFault(f"{self.name}: {asleep}{fault.message}", evidence=evidence) from None

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Keep verdicts beside the captures that they rest on."""
        self.verdicts += verdicts
        if (directory := self.window.capture_directory) is not None:
            write_json(directory / VERDICTS, [verdict.to_json() for verdict in self.verdicts])

    def _description(self) -> dict[str, Any]:
        laid, tunnel = self.running.laid, self.running.tunnel
        return {
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


@contextmanager
def up(chain: Chain, sut: Sut, directory: Path) -> Iterator[Tunnel]:
    """A tunnel on the hosts of a chain until the block ends, and the lab proven with it. Faults as RunningTunnel's."""
    proven = chain.lab.proven
    running = RunningTunnel(chain.lab, sut, directory)
    with running:
        if proven:
            drift.remember(chain.lab)
        chain.run.append("tunnels", {"sut": sut.document(), "boxes": running.boxes.identity})
        try:
            yield Tunnel(running)
        finally:
            chain.lab.proven = proven


def _pass(seconds: float) -> None:
    """Let time pass."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= until, timeout=max(seconds, 0) + 1, interval=0.05, what="time to pass")
