"""The fixture ``tunnel``: what a test asks of a tunnel, and what the captures say to it.

Each call measures, then has every tap write what it has seen so far, and holds the measurement against it. What fails
raises at once: ProductFault with the frames and both daemons' logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from hopscope.checks.keepalive import keepalive
from hopscope.checks.moved import moved
from hopscope.checks.pings import pings
from hopscope.checks.transfers import transfers
from hopscope.checks.transport import transport
from hopscope.checks.tunnel import TunnelCheck
from hopscope.checks.tunnel_health import weighed
from hopscope.checks.verdict import Evidence, Outcome, Verdict, failed, not_applicable, passed
from hopscope.errors import ProductFault
from hopscope.hosts.executor import Executor
from hopscope.lab import drift
from hopscope.lab.tunnel import RunningTunnel
from hopscope.model.sut import Sut
from hopscope.plugin.chains import Chain
from hopscope.plugin.judged import raise_for
from hopscope.plugin.measuring import Away, Measuring
from hopscope.plugin.recorded import arguments
from hopscope.plugin.window import Window
from hopscope.run import story
from hopscope.run.rundir import VERDICTS, write_json
from hopscope.traffic.path_mtu import PathMtu
from hopscope.traffic.ping import PingReport
from hopscope.traffic.transfer import TransferReport
from hopscope.wire.tunnel import TunnelTrace

#: A tunnel carries again this soon after its transport is possible again, unless the test says otherwise.
AGAIN_S = 15.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Recovery:
    """``away_s`` is how long the harness kept the tunnel from carrying, ``again_s`` how long it took afterwards."""

    what: str
    away_s: float
    again_s: float


def _told(title: str) -> Callable[[Callable[Concatenate[Tunnel, P], T]], Callable[Concatenate[Tunnel, P], T]]:
    """What a test asks is a step of its story and noted on its tape; what that asks in turn is part of it."""

    def decorated(method: Callable[Concatenate[Tunnel, P], T]) -> Callable[Concatenate[Tunnel, P], T]:
        @wraps(method)
        def call(self: Tunnel, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if self._telling:
                return method(self, *args, **kwargs)
            words = ", ".join([*map(str, args), *(f"{name} {value}" for name, value in kwargs.items())])
            asked = arguments(method, args, kwargs)
            self._telling = True
            try:
                with (
                    story.step(self.window.directory, f"{title}: {words}" if words else title),
                    self.measuring.call(method, asked),
                ):
                    return method(self, *args, **kwargs)
            finally:
                self._telling = False

        return call

    return decorated


class Tunnel:
    """A tunnel in the window of the test that runs; ``measuring`` is what answers for it."""

    def __init__(self, measuring: Measuring) -> None:
        self.measuring = measuring
        self.verdicts: list[Verdict] = []
        self._telling = False

    @property
    def running(self) -> RunningTunnel:
        return self.measuring.running

    @property
    def name(self) -> str:
        return self.measuring.name

    @property
    def reconnects(self) -> bool:
        """It claims to make a new transport by itself."""
        return self.measuring.reconnects

    def host(self, name: str) -> Executor:
        """The hands of a host: ``tunnel.host("left").run([...])``."""
        return self.measuring.host(name)

    # -- what a test asks -------------------------------------------------------------------------------------------

    @_told("Tunnel pinged")
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
        reports = self.measuring.pings(both_directions, sizes, count, lans)
        self._judge((pings(),), pings=len(reports))
        return reports

    @_told("Bytes transferred both ways")
    def transfer(self, *, bytes: int = 1_000_000, lans: bool = False, timeout: float = 30.0) -> TransferReport:
        """So many bytes each way over one TCP connection arrive unchanged, and were seen on both devices."""
        report = self.measuring.transfer(bytes, lans, timeout)
        self._judge((transfers(),), transfers=len(report.ways))
        return report

    @_told("Counters of the devices compared")
    def counters(self, *, count: int = 10) -> dict[str, dict[str, int]]:
        """The counters of both devices move by what the captures saw go by. Returns what moved, by host."""
        changed = self.measuring.counters(count)
        self._judge((moved(),), counters=len(changed))
        return changed

    @_told("Transport looked at")
    def established(self) -> dict[str, list[str]]:
        """The transport's connection is established on both ends and carries; what ``ss`` says of it, by host."""
        seen, carrier = self.measuring.established(), self.measuring.carrier
        lacking = [host for host, lines in seen.items() if not lines]
        if not seen:
            verdict = not_applicable("established", f"{carrier} knows no connections")
        elif lacking:
            evidence = [Evidence(None, host, (), "a connection", f"none established on {host}") for host in lacking]
            told = f"no established connection on {carrier}: {', '.join(lacking)}"
            verdict = failed("established", told, judged=2, failed=len(lacking), evidence=evidence)
        else:
            verdict = passed("established", f"{carrier} on both ends", judged=2)
        self._conclude((verdict,))
        self.ping(sizes=("small",), count=2)
        self._judge((transport(),))
        return seen

    @_told("MTU measured")
    def mtu(self) -> tuple[PathMtu, PathMtu]:
        """Packets as large as the device says get through, each way; what was measured."""
        found = self.measuring.mtus()
        small = [each for each in found if not each.ok]
        if small:
            evidence = [Evidence(None, each.host, (), f"{each.wanted} bytes", str(each)) for each in small]
            verdict = failed("mtu", str(small[0]), judged=2, failed=len(small), evidence=evidence)
        else:
            verdict = passed("mtu", "; ".join(map(str, found)), judged=2)
        self._conclude((verdict,))
        self.ping(sizes=("mtu",), count=1)
        return found

    @_told("Nothing sent")
    def idle(self, seconds: float) -> None:
        """Nothing is sent for so long; the tunnel keeps itself alive as it claims to, and carries afterwards."""
        self.measuring.idle(seconds)
        self.ping(sizes=("small",), count=2)
        self._judge((keepalive(), transport()), idles=1)

    @_told("Link between the ends cut")
    def cut(self, seconds: float = 1.0, *, within_s: float = AGAIN_S) -> Recovery:
        """The link between the ends loses everything for so long. Then the tunnel carries again, in time."""
        return self._recovered(self.measuring.cut(seconds, within_s), within_s)

    @_told("Transport ended")
    def reconnect(self, *, within_s: float = AGAIN_S) -> Recovery:
        """The transport's connection is ended on the way. Then the daemons make another, by themselves and in time."""
        if not self.reconnects:
            self._conclude(
                (not_applicable("recovery", f"{self.name} does not claim to reconnect (reconnects: false)"),)
            )
        return self._recovered(self.measuring.reconnect(within_s), within_s)

    @_told("Daemon restarted")
    def restart(self, host: str | None = None) -> Recovery:
        """The daemon of an end (of both, without a host) is restarted: its device comes anew and as it was."""
        seconds = self.measuring.restart(host)
        what = f"daemon of {host or 'both ends'} restarted"
        self._conclude((passed("recovery", f"{what}: carries again after {seconds:.2f} s", judged=1),))
        self.ping(sizes=("small",), count=2)
        return Recovery(what, 0.0, seconds)

    # -- the window of a test ---------------------------------------------------------------------------------------

    def ready(self, window: Window) -> None:
        """A window is about to open: :meth:`revive`, and note on its tape which tunnel it is of."""
        self.measuring.ready(window)

    def revive(self) -> None:
        """Start a tunnel anew that a test before has left dead or deaf, so that the next one is not blamed for it."""
        self.measuring.revive()

    def begin(self, window: Window) -> None:
        """From here on the calls are of this window."""
        self.verdicts = []
        self.measuring.begin(window)

    def finish(self) -> None:
        """The window is over, or the tunnel is about to go while it stays open."""
        self.measuring.finish()

    @property
    def window(self) -> Window:
        return self.measuring.window

    # -- parts ------------------------------------------------------------------------------------------------------

    def _recovered(self, away: Away, within_s: float) -> Recovery:
        told = f"{away.what} for {away.away_s:.2f} s"
        if away.again_s is None:
            told += f": does not carry within {within_s:g} s afterwards"
            verdict = failed("recovery", told, judged=1, failed=1, evidence=())
        else:
            told += f": carries again after {away.again_s:.2f} s"
            verdict = passed("recovery", told, judged=1, metrics={"again_s": away.again_s})
        self._conclude((verdict,))
        assert away.again_s is not None
        self.ping(sizes=("small",), count=2)
        return Recovery(away.what, away.away_s, away.again_s)

    def _judge(self, checks: Sequence[TunnelCheck], **last: int) -> None:
        """Hold the captures against what was said last: ``last`` tells how much of each kind."""
        seen = self.measuring.look()
        trace = TunnelTrace.load(self.measuring.folder(), seen)
        trace = replace(trace, **{kind: getattr(trace, kind)[-number:] for kind, number in last.items()})
        self._conclude([weighed(check(trace), trace) for check in checks])

    def _conclude(self, verdicts: Sequence[Verdict]) -> None:
        self.record(verdicts)
        decisive = [each for each in verdicts if each.outcome is not Outcome.NOT_APPLICABLE]
        try:
            raise_for(decisive or verdicts)
        except ProductFault as fault:
            stopped, logs = self.measuring.state()
            asleep = "".join(f"the daemon on {host} is stopped; " for host in stopped)
            evidence = "\n".join(part for part in (fault.evidence, logs) if part)
            raise ProductFault(f"{self.name}: {asleep}{fault.message}", evidence=evidence) from None

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Keep verdicts beside the captures that they rest on."""
        self.verdicts += verdicts
        if (directory := self.window.capture_directory) is not None:
            write_json(directory / VERDICTS, [verdict.to_json() for verdict in self.verdicts])


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
            yield Tunnel(Measuring(running))
        finally:
            chain.lab.proven = proven
