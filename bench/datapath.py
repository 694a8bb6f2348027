"""The reference rewriters against kernel forwarding: ``python bench/datapath.py [--quick]``.

Latencies are read from captures on the chain with its WAN delay; throughput is iperf3 on chains without and with delay,
offloads on, without captures. Every ratio comes from pairs of runs that follow each other, each first in turn.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import report
from hopscope import data
from hopscope.capture.session import CaptureSession
from hopscope.errors import EnvironmentFault
from hopscope.hosts.ready import ListeningPort
from hopscope.lab.lab import Lab
from hopscope.lab.rtt import check_rtt
from hopscope.lab.sut import RunningSut
from hopscope.model.document import load_topology
from hopscope.model.topology import Role
from hopscope.plugin.chains import Chain
from hopscope.plugin.comparison import ALTERNATIONS, compare
from hopscope.plugin.window import Window
from hopscope.providers.netns import NetnsProvider
from hopscope.run.rundir import Run
from hopscope.traffic.iperf3 import iperf3
from hopscope.traffic.traffic import Traffic
from hopscope.wire import metrics
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

SUTS = {"bpf/stamp": "stamp", "bpf/hold": "hold", "afpacket/stamp": "stamp-afpacket", "afpacket/hold": "hold-afpacket"}


@contextmanager
def lab(name: str, directory: Path, *, offloads: bool) -> Iterator[Lab]:
    provider = NetnsProvider()
    built = provider.acquire(
        load_topology(data.path(f"topologies/{name}.yaml")), directory=directory, offloads=offloads
    )
    try:
        yield built
    finally:
        provider.release(built)


def latencies(directory: Path, topology: str, count: int) -> None:
    """What the client waits for, plain TCP in alternating blocks, under six captures."""
    source = data.path(f"topologies/{topology}.yaml")
    with lab(topology, directory, offloads=False) as built:
        rtt_ns = check_rtt(built, "client", "server")
        chain = Chain(built, Run.create(directory / "runs", {}), rtt_ns, source)
        for measured, sut in SUTS.items():
            variant = f"{measured}/{built.topology.rtt_ms('client', 'server'):g}ms"
            place = directory / topology / sut
            place.mkdir(parents=True)
            window = Window(chain, place)
            window.open(None)
            try:
                with Traffic(built, place) as traffic:
                    pairs = compare(window, traffic, baseline="kernel", sut=sut, count=count, rate=100)
            finally:
                window.abandon()
            plain, plain_pair = pairs.values("ttfb", "kernel")
            ours, our_pair = pairs.values("ttfb", sut)
            saved = [
                float(np.nanmedian(plain[plain_pair == pair]) - np.nanmedian(ours[our_pair == pair])) / rtt_ns
                for pair in range(ALTERNATIONS)
            ]
            report.line("rtts_saved", variant, saved, "RTT")
            unlock, _ = pairs.values("send_unlock", sut)
            kernel, _ = pairs.values("send_unlock", "kernel")
            known = unlock[~np.isnan(unlock)] / 1e6
            base = float(np.nanmedian(kernel)) / 1e6
            report.line("send_unlock_p50_ms", variant, known.tolist(), "ms", baseline=base)
            report.line("send_unlock_p99_ms", variant, [float(np.quantile(known, 0.99))], "ms")
            answered = answers_us(pairs.part(sut).trace)
            report.line("synack_p50_us", variant, answered.tolist(), "us")
            report.line("synack_p99_us", variant, [float(np.quantile(answered, 0.99))], "us")


def unlock_alone(directory: Path, topology: str, count: int) -> None:
    """When the client may send its first data, with nothing captured but its own port."""
    with lab(topology, directory, offloads=False) as built:
        port = built.topology.role(Role.CLIENT).ports[0]
        for measured, sut in {"kernel": "kernel", **SUTS}.items():
            place = directory / "alone" / sut
            with (
                CaptureSession(built, place, ports=[port]),
                RunningSut(built, data.sut(sut), place),
                Traffic(built, place) as traffic,
            ):
                traffic.connections(count, rate=100)
            known = metrics.send_unlock(Trace.load(place)) / 1e6
            variant = f"{measured}/{built.topology.rtt_ms('client', 'server'):g}ms"
            report.line("send_unlock_alone_p50_ms", variant, known.tolist(), "ms")
            report.line("send_unlock_alone_p99_ms", variant, [float(np.quantile(known, 0.99))], "ms")


def answers_us(trace: Trace) -> NDArray[np.float64]:
    """From a SYN to the SYN-ACK that answers it, at ClientNIC's client port."""
    tap = trace.rows[Position.CLIENTNIC_LAN]
    syn, synack = tap.first(tap.syn), tap.first(tap.synack)
    both = (syn >= 0) & (synack >= 0)
    return (tap.packets.time[synack[both]] - tap.packets.time[syn[both]]) / 1e3


def throughput(directory: Path, topology: str, seconds: int, pairs: int) -> None:
    """iperf3 through each placement against kernel forwarding, both directions, by congestion control."""
    with lab(topology, directory, offloads=True) as built:
        rtt = f"{built.topology.rtt_ms('client', 'server'):g}ms"
        for measured, sut in SUTS.items():
            for name, reverse in (("upload_vs_kernel", False), ("throughput_vs_kernel", True)):
                for control in ("cubic", "bbr"):
                    rates: dict[str, list[float]] = {"kernel": [], sut: []}
                    for pair in range(pairs):
                        for variant in ("kernel", sut) if pair % 2 == 0 else (sut, "kernel"):
                            with RunningSut(built, data.sut(variant), directory / "logs"):
                                result = iperf3(
                                    built, seconds, directory=directory / "logs", reverse=reverse, cc=control
                                )
                            rates[variant].append(result.bits_per_second / 1e9)
                    ratios = [ours / base for ours, base in zip(rates[sut], rates["kernel"], strict=True)]
                    base = float(np.median(rates["kernel"]))
                    variant = f"{measured}/{control}/{rtt}"
                    report.line(name, variant, rates[sut], "Gbit/s", baseline=base, ratios=ratios)


HAPROXY = """
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend http
    bind :{port}
    http-request return status 200 content-type text/plain string "yes"
"""


def connections(directory: Path, topology: str, seconds: int, pairs: int) -> None:
    """New connections a second by wrk, one request each, and what the whole machine computes for one."""
    with lab(topology, directory, offloads=True) as built:
        service = built.topology.service
        settings = directory / "haproxy.cfg"
        settings.write_text(HAPROXY.format(port=service.ports[0]))
        haproxy = ["haproxy", "-db", "-f", str(settings)]
        with built.hosts[service.host].spawn(haproxy, name="http", ready=ListeningPort(service.ports[0])):
            rtt = f"{built.topology.rtt_ms('client', 'server'):g}ms"
            for measured, sut in SUTS.items():
                rates: dict[str, list[float]] = {"kernel": [], sut: []}
                costs: dict[str, list[float]] = {"kernel": [], sut: []}
                for pair in range(pairs):
                    for variant in ("kernel", sut) if pair % 2 == 0 else (sut, "kernel"):
                        with RunningSut(built, data.sut(variant), directory / "logs"):
                            rate, cost = wrk(built, seconds)
                        rates[variant].append(rate)
                        costs[variant].append(cost)
                for name, values, unit, sign in (
                    ("connections_per_s", rates, "1/s", 1),
                    ("cpu_us_per_connection", costs, "us", -1),
                ):
                    ratios = [(ours / base) ** sign for ours, base in zip(values[sut], values["kernel"], strict=True)]
                    base = float(np.median(values["kernel"]))
                    report.line(name, f"{measured}/{rtt}", values[sut], unit, baseline=base, ratios=ratios)


def wrk(built: Lab, seconds: int) -> tuple[float, float]:
    """Connections a second, and microseconds of processor time of the whole machine for each."""
    service = built.topology.service
    target = built.topology.host(service.host).ports[0].address(4)
    argv = ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s", "-H", "Connection: close"]
    before = busy_s()
    said = built.hosts["client"].run([*argv, f"http://{target}:{service.ports[0]}/"], timeout=seconds + 20).text
    spent = busy_s() - before
    total, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    if total is None or rate is None or "Socket errors" in said or "Non-2xx" in said:
        raise EnvironmentFault(f"wrk: {said}")
    return float(rate[1]), spent / int(total[1]) * 1e6


def busy_s() -> float:
    """Seconds that all processors have worked (/proc/stat: user, nice, system, then idle, iowait, irq, softirq)."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, within two minutes or so")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as directory:
        for topology in ("chain", "chain-100ms"):
            latencies(Path(directory), topology, 250 if quick else 500)
        unlock_alone(Path(directory), "chain-100ms", 250 if quick else 500)
        for topology in ("chain-lan", "chain"):
            throughput(Path(directory), topology, 1 if quick else 3, 1 if quick else 3)
        if shutil.which("wrk"):
            connections(Path(directory), "chain-lan", 1 if quick else 3, 1 if quick else 3)
        else:
            print("no rows of connections per second: wrk is not installed (Debian, Ubuntu: wrk)", file=sys.stderr)


if __name__ == "__main__":
    main()
