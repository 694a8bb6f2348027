"""A tunnel that is up: its daemons, its devices, and the routes that lead through it.

Up means: both devices are there with their addresses, and a ping is answered each way. A tunnel that does not get so
far on hosts that reach each other is the product's fault, told with how far it came and with both daemons' logs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hopscope.errors import CommandFailed, EnvironmentFault, ProductFault, WaitTimeout
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.lab import credentials
from hopscope.lab.lab import Lab
from hopscope.lab.settings.route import Route
from hopscope.lab.sut import RunningSut
from hopscope.lab.wait import wait_until
from hopscope.model.laid import Laid, LaidEnd, lay
from hopscope.model.sut import Sut

#: A device goes with its daemon, though not at the very moment of its end.
GONE_S = 2.0
#: How long one echo of those that ask whether the tunnel carries is waited for, beside the round trip.
ECHO_S = 0.3
#: Of the log of a daemon that does not carry: lines that speak of something wrong, and the last ones.
BAD_LINES, LAST_LINES = 8, 8
_WRONG = re.compile(r"error|fail|denied|refused|invalid|cannot|not permitted|unreachable|timed? ?out", re.IGNORECASE)


@dataclass(frozen=True)
class Device:
    """A TUN device as it is now. ``index`` is another one after it was made anew."""

    index: int
    mtu: int
    addresses: tuple[str, ...]
    counters: Mapping[str, int]
    """Packets since it was made: rx, tx (read by the daemon), rx_errors, tx_errors, rx_dropped, tx_dropped."""


class RunningTunnel:
    """The tunnel of a SUT on the hosts of a lab, from enter to exit; the logs of its daemons go to ``directory``.

    On enter: UsageError when the SUT is no tunnel or does not fit the topology, EnvironmentFault when a daemon lacks
    what it needs or does not get ready, ProductFault when it does not carry in its time.
    """

    def __init__(self, lab: Lab, sut: Sut, directory: Path) -> None:
        self.lab = lab
        self.sut = sut
        self.laid: Laid = lay(lab.topology, sut)
        assert sut.tunnel is not None
        self.tunnel = sut.tunnel
        self.boxes = RunningSut(lab, sut, directory)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        server, client = (self.lab.hosts[end] for end in (self.laid.server, self.laid.client.host))
        credentials.install(self.tunnel.credentials, server, client)
        with ExitStack() as stack:
            self._route(stack)
            stack.enter_context(self.boxes)
            self._await_up()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def rtt_s(self) -> float:
        """The round trip that the links between the ends add."""
        return sum(link.impairment.rtt_ms for link in self.laid.links) / 1e3

    def device(self, host: str) -> Device | None:
        """The device of an end as it is, None where there is none."""
        argv = ["ip", "-json", "-statistics", "addr", "show", "dev", self.laid.end(host).device]
        result = self.lab.hosts[host].run(argv, check=False)
        return parse_device(result.stdout) if result.returncode == 0 else None

    def carries(self) -> bool:
        """One echo each way is answered now."""
        return all(self._answers(end) for end in self.laid.ends)

    def established(self) -> dict[str, list[str]]:
        """The transport's TCP connections in state ESTABLISHED, as ``ss`` tells them, by end."""
        port, protocol = self.laid.transport.port, self.laid.transport.protocol
        if protocol != "tcp":
            return {}
        found = {}
        for end in self.laid.ends:
            way = "sport" if end.host == self.laid.server else "dport"
            argv = ["ss", "-H", "-t", "-n", "-i", "state", "established", f"( {way} = :{port} )"]
            lines = self.lab.hosts[end.host].run(argv).text.splitlines()
            found[end.host] = [" ".join(line.split()) for line in lines if not line[:1].isspace()]
        return found

    def dead(self) -> dict[str, int]:
        """Exit codes, by host, of daemons that ended although nobody stopped them."""
        return self.boxes.died()

    def stopped(self) -> list[str]:
        """Hosts whose daemon is there and does not run (state T): somebody has stopped it."""
        found = []
        for host in self.boxes.hosts:
            if (process := self.boxes.process(host)) is not None and _state(self.lab.hosts[host], process) == "T":
                found.append(host)
        return found

    def refuse_dead(self) -> None:
        """Raise ProductFault with its log when a daemon has ended by itself."""
        if dead := self.dead():
            told = ", ".join(f"the daemon on {host} ended by itself with {code}" for host, code in dead.items())
            raise ProductFault(f"{self.sut.name}: {told}", host=next(iter(dead)), evidence=self.logs())

    def restart(self, host: str | None = None) -> float:
        """Stop the daemon of an end (of both, without a host or where it does not reconnect) and start it again.

        Returns the seconds from the first stop until it carried again. Raises ProductFault when a device stays behind,
        is not made anew as it was, or the tunnel does not carry again in its time.
        """
        chosen = [host] if host is not None and self.tunnel.reconnects else self.boxes.hosts
        before = {each: self.device(each) for each in chosen}
        began = time.monotonic()
        for each in reversed(chosen):
            self.boxes.stop_box(each)
            self._await_gone(each)
        for each in chosen:
            self.boxes.start_box(each)
        self._await_up()
        seconds = time.monotonic() - began
        for each, old in before.items():
            new = self.device(each)
            if old is not None and (new is None or (new.mtu, new.addresses) != (old.mtu, old.addresses)):
                raise ProductFault(
                    f"{self.sut.name}: the device of {each} is not as it was before the restart",
                    host=each, evidence=f"before: {old}\nnow:    {new}",
                )  # fmt: skip
        return seconds

    def break_transport(self) -> int:
        """End the transport's connection at the end that opened it, as a middle box would; how many there were.

        Raises EnvironmentFault where this kernel cannot (CONFIG_INET_DIAG_DESTROY).
        """
        end = self.laid.client
        argv = ["ss", "-K", "-H", "-t", "-n", "dst", str(self.laid.other(end.host).outer)]
        argv += ["dport", "=", f":{self.laid.transport.port}"]
        ended = self.lab.hosts[end.host].run(argv, check=False)
        if not (count := len(ended.text.splitlines())):
            raise EnvironmentFault("`ss -K` ended no connection of the transport", host=end.host, evidence=ended.tail())
        return count

    def logs(self) -> str:
        """What both daemons say: lines of their logs that speak of something wrong, and the last ones."""
        told = []
        for host in self.boxes.hosts:
            if (process := self.boxes.process(host)) is not None:
                lines = [line for log in (process.stdout, process.stderr) for line in _lines(log)]
                bad = [line for line in lines if _WRONG.search(line)]
                kept = dict.fromkeys([*bad[:BAD_LINES], *lines[-LAST_LINES:]])
                told += [f"{host}: {line}" for line in kept or ("its daemon wrote nothing",)]
        return "\n".join(told)

    # -- getting up -------------------------------------------------------------------------------------------------

    def _await_up(self) -> None:
        deadline = time.monotonic() + self.tunnel.ready_timeout_s
        why = ""

        def up() -> bool:
            nonlocal why
            why = self._not_up()
            return not why or bool(self.dead())

        try:
            wait_until(up, timeout=deadline - time.monotonic(), interval=0.05, what="the tunnel")
        except WaitTimeout as late:
            raise ProductFault(
                f"{self.sut.name} was not up within {self.tunnel.ready_timeout_s:g} s: {why}", evidence=self.logs()
            ) from late
        self.refuse_dead()

    def _not_up(self) -> str:
        """What is missing for the tunnel to carry, in the order in which it comes up; empty when nothing is."""
        for end in self.laid.ends:
            device = self.device(end.host)
            if device is None:
                return f"{end.device} on {end.host} is not there; {self._transport()}"
            self._dress(end, device)
            if missing := self._lacks(end):
                return missing
        for end in self.laid.ends:
            if not self._answers(end):
                return f"no ping from {end.host} to {self.laid.other(end.host).inner[0]}; {self._transport()}"
        return ""

    def _lacks(self, end: LaidEnd) -> str:
        device = self.device(end.host)
        have = device.addresses if device is not None else ()
        missing = [str(each) for each in end.inner if str(each) not in have]
        return f"{end.device} on {end.host} lacks {', '.join(missing)}" if missing else ""

    def _dress(self, end: LaidEnd, device: Device) -> None:
        """Addresses where the daemon leaves them to us, and the routes to the networks behind the other end."""
        host, other = self.lab.hosts[end.host], self.laid.other(end.host)
        if end.configure and not set(map(str, end.inner)) <= set(device.addresses):
            for mine in end.inner:
                theirs = other.inner_of(mine.version)
                argv = ["ip", "addr", "replace", str(mine), "peer", str(theirs), "dev", end.device]
                host.run(argv, check=False)  # read back by the caller
            host.run(["ip", "link", "set", "dev", end.device, "up"], check=False)
        for route in self._routes(end):
            if route.read(host) != route.wanted:
                route.apply(host)

    def _routes(self, end: LaidEnd) -> list[Route]:
        return [Route(end.host, str(each), port=end.device) for each in self.laid.other(end.host).networks]

    def _route(self, stack: ExitStack) -> None:
        """Take the ways outside of the tunnel to the networks behind it away, until the tunnel has gone.

        The routes through it go with its device, and each start makes them anew: without a tunnel there is no way.
        """
        for end in self.laid.ends:
            for route in self._routes(end):
                none = Route(route.host, route.destination)
                stack.enter_context(self.lab.applied(none))

    def _answers(self, end: LaidEnd) -> bool:
        target, rtt_s = (
            self.laid.other(end.host).inner[0],
            sum(link.impairment.rtt_ms for link in self.laid.links) / 1e3,
        )
        argv = ["ping", "-n", "-q", "-c", "1", "-W", f"{ECHO_S + 2 * rtt_s:.2f}", str(target)]
        return self.lab.hosts[end.host].run(argv, timeout=ECHO_S + 2 * rtt_s + 10, check=False).returncode == 0

    def _await_gone(self, host: str) -> None:
        try:
            wait_until(lambda: self.device(host) is None, timeout=GONE_S, interval=0.02, what="the device to go")
        except WaitTimeout as late:
            raise ProductFault(
                f"{self.sut.name}: {self.laid.end(host).device} stays behind when its daemon has ended", host=host
            ) from late

    def _transport(self) -> str:
        """What is known of the way: established connections, and whether the daemons read and write their devices."""
        told = []
        if self.laid.transport.protocol == "tcp":
            seen = ", ".join(f"{len(lines)} on {host}" for host, lines in self.established().items())
            told.append(f"established connections of its transport: {seen}")
        for end in self.laid.ends:
            if (device := self.device(end.host)) is not None:
                counters = device.counters
                told.append(
                    f"{end.device} of {end.host}: tx {counters['tx']} (read by its daemon), rx {counters['rx']}"
                )
        return "; ".join(told)


def parse_device(text: bytes) -> Device:
    """What ``ip -json -statistics addr show dev`` says of one device. IPv6 link-local addresses are not counted."""
    fields: dict[str, Any] = next(each for each in json.loads(text) if each.get("ifindex"))
    counts = fields.get("stats64", {})
    counters = {
        name: int(counts.get(way, {}).get(key, 0))
        for way in ("rx", "tx")
        for name, key in ((way, "packets"), (f"{way}_errors", "errors"), (f"{way}_dropped", "dropped"))
    }
    addresses = tuple(each["local"] for each in fields.get("addr_info", []) if each.get("scope") != "link")
    return Device(int(fields["ifindex"]), int(fields["mtu"]), addresses, counters)


def _state(host: Executor, process: Process) -> str:
    """State of a process (proc_pid_stat(5)), empty when it has gone. Its number is one of this machine where the host
    is."""
    file = Path(f"/proc/{process.pid}/stat")
    try:
        text = file.read_text() if host.here else host.run(["cat", str(file)]).text
    except (OSError, CommandFailed):
        return ""
    return text.rpartition(")")[2].split()[0]


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines() if log.exists() else []
