"""Bulk throughput by iperf3: a server that takes one test, and its client."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopscope.errors import EnvironmentFault, UsageError
from hopscope.hosts.executor import Result
from hopscope.hosts.ready import ListeningPort
from hopscope.lab.lab import Lab
from hopscope.model.topology import Role

_CONNECT_MS = 5000
_MARGIN_SECONDS = 15.0


@dataclass(frozen=True)
class Iperf3Report:
    """A finished test. ``bits_per_second`` and ``bytes`` are what the receiver got; ``retransmits`` the sender's own
    count of segments (None where it does not tell); ``cc`` what the sender's sockets used; ``json`` everything."""

    bits_per_second: float
    bytes: int
    retransmits: int | None
    seconds: float
    cc: str | None
    json: dict[str, Any]


def iperf3(
    lab: Lab,
    seconds: float = 10.0,
    *,
    directory: Path | None = None,
    client: str | None = None,
    target: str | None = None,
    reverse: bool = False,
    cc: str | None = "reno",
    port: int | None = None,
    bitrate: str | None = None,
    streams: int = 1,
) -> Iperf3Report:
    """Run iperf3 from the client to the service's host on a service port (default: the last), or back with ``reverse``.

    ``bitrate`` bounds the sender ("100M"). EnvironmentFault with iperf3's own words when the test fails; the server
    is gone afterwards in any case.
    """
    service = lab.topology.service
    port = service.ports[-1] if port is None else port
    if port not in service.ports:
        raise UsageError(f"port {port} is none of the service's ports {', '.join(map(str, service.ports))}")
    if streams < 1 or seconds <= 0:
        raise UsageError(f"iperf3 needs at least one stream and some time; got {streams} and {seconds:g} s")
    client = client or lab.topology.role(Role.CLIENT).name
    if target is None:
        addresses = [each.address(4) or each.address(6) for each in lab.topology.host(service.host).ports]
        target = str(next(each for each in addresses if each is not None))
    argv = ["iperf3", "--client", target, "--port", str(port), "--json", "--connect-timeout", str(_CONNECT_MS)]
    argv += ["--time", f"{seconds:g}", "--parallel", str(streams)]
    argv += ["--congestion", cc] if cc is not None else []
    argv += ["--reverse"] if reverse else []
    argv += ["--bitrate", bitrate] if bitrate is not None else []
    server = lab.hosts[service.host].spawn(
        ["iperf3", "--server", "--one-off", "--port", str(port), "--forceflush"],
        name=f"{service.host}-iperf3",
        ready=ListeningPort(port),
        directory=directory,
    )
    with server:
        result = lab.hosts[client].run(argv, timeout=seconds + _MARGIN_SECONDS, check=False)
    done = report(result, client)
    if cc is not None and done.cc not in (None, cc):
        raise EnvironmentFault(
            f"iperf3's sender used congestion control {done.cc}, and {cc} was asked for", host=client
        )
    return done


def report(result: Result, client: str) -> Iperf3Report:
    """Read the JSON of iperf3's client. EnvironmentFault when it tells of an error, or is none."""
    try:
        told = json.loads(result.stdout)
        error = told.get("error")
        received = None if error else told["end"]["sum_received"]
    except (ValueError, KeyError, AttributeError):
        error, received = "its output is no report", None
    if received is None or result.returncode != 0:
        raise EnvironmentFault(
            f"iperf3 failed: {error or f'it ended with {result.returncode}'}",
            host=client,
            evidence=None if error else result.tail(),
        )
    end = told["end"]
    return Iperf3Report(
        bits_per_second=float(received["bits_per_second"]),
        bytes=int(received["bytes"]),
        retransmits=end["sum_sent"].get("retransmits"),
        seconds=float(received["seconds"]),
        cc=end.get("sender_tcp_congestion"),
        json=told,
    )
