"""Load from the client to the service of a lab: the generator on the client, its responder on the server."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from hopscope.errors import CommandFailed, EnvironmentFault, HopscopeError, UsageError
from hopscope.hosts.process import Process, log_tail
from hopscope.hosts.ready import LogLine
from hopscope.lab.lab import Lab
from hopscope.lab.wait import wait_until
from hopscope.model.topology import Role
from hopscope.run import story
from hopscope.run.doing import doing
from hopscope.traffic.iperf3 import Iperf3Report, iperf3
from hopscope.traffic.report import TrafficReport, parse

_HERE = Path(__file__).parent
_USAGE = 64
#: For the generator to start, and to write down what it saw, on a busy machine.
_MARGIN_SECONDS = 20.0


class Traffic:
    """Connections over a lab, from ``client`` (default: the host of role client) to the topology's service.

    Logs and each run's JSON lines go to ``directory``. The responder starts with the first connections and ends with
    the context.
    """

    def __init__(self, lab: Lab, directory: Path, *, client: str | None = None, python: str | None = None) -> None:
        self._lab = lab
        self._directory = directory.absolute()
        self._python = python
        self._client = client or lab.topology.role(Role.CLIENT).name
        self._responder: Process | None = None
        self._responder_kind: tuple[str | None, bool] = None, False
        self._runs = 0
        self._first = 0
        self._asking = threading.Lock()
        """One question to the responder at a time: an answer is the first that comes after it."""

    @property
    def target(self) -> str:
        """The address of the service that the client is routed to: of the port nearest to it."""
        topology = self._lab.topology
        server = topology.service.host
        nearest = topology.path(self._client, server)[-1] if self._client != server else None
        for port in topology.host(server).ports:
            if nearest is None or port.key in (nearest.a.key, nearest.b.key):
                address = port.address(4) or port.address(6)
                if address is not None:
                    return str(address)
        raise UsageError(f"the service's host {server} has no address towards {self._client}")

    def connections(
        self,
        count: int,
        rate: float | None = None,
        *,
        request: int = 100,
        response: int = 1024,
        rounds: int = 1,
        ports: Sequence[int] | None = None,
        cc: str | None = "reno",
        timeout: float = 10.0,
        grace: float = 2.0,
        close: Literal["fin", "rst"] = "fin",
        sources: Sequence[str] = (),
        check_rate: bool = True,
        fast_open: bool = False,
    ) -> TrafficReport:
        """Open ``count`` connections, ``rate`` per second (None: all at once), and return what became of each.

        Each sends ``rounds`` requests of ``request`` bytes, gets ``response`` bytes for each, and is closed by the
        client. ``timeout`` is seconds for each connection from its start; one that misses it is watched on for
        ``grace`` seconds, and is ``late`` instead of ``timeout`` when it completes in them, or given up with a reset.
        ``cc`` is the congestion control of the sockets at both ends (None: the hosts' default). ``fast_open`` sends the
        request with the SYN (RFC 7413) once the server has given a cookie, where sysctl tcp_fastopen lets both. Raises
        RateMissed
        (environment) when the client could not keep to ``rate``, unless ``check_rate`` is off; UsageError for what
        cannot be asked, such as more connections than there are ports for; EnvironmentFault when a host refuses. A
        connection that fails is an outcome, not an error.
        """
        ports = tuple(ports or self._lab.topology.service.ports)
        self._serve(cc, fast_open)
        argv = [*self._program("generator.py", self._client), "--target", self.target]
        argv += ["--ports", ",".join(map(str, ports)), "--connections", str(count), "--request", str(request)]
        argv += [
            "--response",
            str(response),
            "--rounds",
            str(rounds),
            "--deadline",
            str(timeout),
            "--grace",
            str(grace),
        ]
        argv += ["--close", close, "--first", str(self._first)]
        argv += ["--rate", repr(float(rate))] if rate is not None else []
        argv += ["--cc", cc] if cc is not None else []
        argv += ["--source", ",".join(sources)] if sources else []
        argv += ["--fast-open"] if fast_open else []
        before = self.server_counters()
        with story.step(self._directory, f"Traffic: {count} connections asked for") as step:
            with doing(lambda: self._course(before)):
                limit = (count / rate if rate else 0.0) + timeout + grace + _MARGIN_SECONDS
                report = self._generate(argv, limit, before)
            step.title = f"Traffic: {report.completed} of {count} connections completed"
            step.facts |= {"outcomes": report.outcomes, "rate": rate}
        self._first += count
        if check_rate:
            report.check_rate()
        return report

    def iperf3(
        self,
        seconds: float = 10.0,
        *,
        reverse: bool = False,
        cc: str | None = "reno",
        port: int | None = None,
        bitrate: str | None = None,
        streams: int = 1,
    ) -> Iperf3Report:
        """Bulk throughput by iperf3 on a service port (default: the last); the responder makes room for it."""
        self.close()
        with story.step(self._directory, f"Traffic: iperf3 for {seconds:g} s{' in reverse' if reverse else ''}"):
            return iperf3(
                self._lab,
                seconds,
                directory=self._directory,
                client=self._client,
                target=self.target,
                reverse=reverse,
                cc=cc,
                port=port,
                bitrate=bitrate,
                streams=streams,
            )

    def server_counters(self) -> dict[str, int]:
        """What the responder has counted so far: connections accepted, closed, reset, short, corrupt, open; bytes."""
        process = self._responder
        if process is None:
            return {}
        with self._asking:
            return self._counters(process)

    def _counters(self, process: Process) -> dict[str, int]:
        seen = len(_events(process, "counters"))
        process.signal(signal.SIGUSR1)
        wait_until(
            lambda: len(_events(process, "counters")) > seen or process.poll() is not None,
            timeout=_MARGIN_SECONDS,
            interval=0.005,
            what="the responder's counters",
        )
        if process.poll() is not None:
            raise EnvironmentFault(
                f"the responder ended by itself with {process.returncode}",
                host=self._lab.topology.service.host,
                evidence=log_tail(process.stdout, process.stderr),
            )
        counters = _events(process, "counters")[-1]
        return {name: value for name, value in counters.items() if isinstance(value, int) and name != "time_ns"}

    def close(self) -> None:
        """End the responder; connections start it again."""
        process, self._responder = self._responder, None
        if process is not None:
            process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _course(self, before: dict[str, int]) -> str:
        """How far a load is, in words, while it runs."""
        try:
            now = self.server_counters()
        except HopscopeError as error:
            return f"the server does not say how many have reached it: {error.message}"
        return f"{now.get('accepted', 0) - before.get('accepted', 0):,} of them accepted by the server so far"

    def _generate(self, argv: list[str], timeout: float, before: dict[str, int]) -> TrafficReport:
        host = self._lab.hosts[self._client]
        result = host.run(argv, timeout=timeout, check=False)
        if result.returncode == _USAGE:
            raise UsageError(result.tail(1).removeprefix("generator: "), host=self._client)
        if result.returncode != 0:
            raise CommandFailed(
                f"the generator ended with {result.returncode}", host=self._client, evidence=result.tail()
            )
        self._runs += 1
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / f"connections-{self._runs}.jsonl").write_bytes(result.stdout)
        after = self.server_counters()
        server = {name: value - before.get(name, 0) if name != "open" else value for name, value in after.items()}
        return parse(result.stdout.decode(), server)

    def _serve(self, cc: str | None, fast_open: bool) -> None:
        if self._responder is not None and self._responder_kind != (cc, fast_open):
            self.close()
        if self._responder is not None:
            return
        service = self._lab.topology.service
        argv = [*self._program("responder.py", service.host), "--bind", self.target]
        argv += ["--ports", ",".join(map(str, service.ports))]
        argv += ["--cc", cc] if cc is not None else []
        argv += ["--fast-open"] if fast_open else []
        self._responder = self._lab.hosts[service.host].spawn(
            argv,
            name=f"{service.host}-responder",
            ready=LogLine('"event": "ready"', stream="stdout"),
            directory=self._directory,
        )
        self._responder_kind = (cc, fast_open)

    def _program(self, name: str, host: str) -> list[str]:
        """Copy a program to a host and return the command line that runs it there."""
        executor = self._lab.hosts[host]
        executor.put(_HERE / name, name)
        return [self._python or executor.python, "-I", "-S", str(executor.directory / name)]


def _events(process: Process, name: str) -> list[dict[str, Any]]:
    events = []
    for line in process.stdout.read_text(errors="replace").splitlines(keepends=True):
        if line.endswith("\n"):
            event = json.loads(line)
            if event.get("event") == name:
                events.append(event)
    return events
