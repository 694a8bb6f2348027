"""The reference rewriters against kernel forwarding and what else there is: ``python bench/datapath.py [--quick]``.

Latencies are read from captures on the chain with its WAN delay, connections a second, throughput and memory on the
chain without, offloads on, without captures. In every round each way over the chain has its turn, each first in turn,
and ratios are of one round. ``make datapath`` writes the documentation's table and chart from what this prints.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import memory
import report
from hopscope import data
from hopscope.capture.session import CaptureSession
from hopscope.errors import EnvironmentFault, HopscopeError, WaitTimeout
from hopscope.hosts.ready import ListeningPort
from hopscope.lab.lab import Lab
from hopscope.lab.quiet import wait_quiet
from hopscope.lab.rtt import check_rtt
from hopscope.lab.sut import RunningSut
from hopscope.model.topology import Role
from hopscope.plugin.chains import Chain
from hopscope.plugin.window import Window
from hopscope.run.rundir import Run
from hopscope.traffic.iperf3 import iperf3
from hopscope.traffic.traffic import Traffic
from hopscope.wire import metrics
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace
from ways import KERNEL, Way, every, lab, present, say, turns

BLOCK = 25
"""Connections of one way in one round."""
SETTLES_S = 3.0

Values = NDArray[np.float64]


def latencies(directory: Path, topology: str, rounds: int) -> None:
    """What the client waits for, under six captures."""
    with lab(topology, directory, offloads=False) as built:
        rtt_ns = check_rtt(built, "client", "server")
        ways = present(built, every(), directory / "logs")
        suts = {way.name: way.sut for way in ways}
        chain = Chain(
            built, Run.create(directory / "runs", {}), rtt_ns, data.path(f"topologies/{topology}.yaml"),
            ask_sut=lambda name, _: suts[name],
        )  # fmt: skip
        place = directory / topology
        place.mkdir()
        window = Window(chain, place)
        window.open(None)
        try:
            trace, blocks, completed = _load(window, built, ways, rounds)
        finally:
            window.abandon()
        rtt = f"{built.topology.rtt_ms('client', 'server'):g}ms"
        _tell_latencies(trace, blocks, ways, rtt, rtt_ns)
        for way in ways:
            report.line(
                "connections_completed", f"{way.name}/{rtt}", [completed[way.name]], "connections",
                baseline=rounds * BLOCK, ratios=[completed[way.name] / (rounds * BLOCK)],
            )  # fmt: skip


Block = tuple[int, str, int, int]
"""Round, way, and when it began and ended on the client's clock (ns)."""


def _load(window: Window, built: Lab, ways: Sequence[Way], rounds: int) -> tuple[Trace, list[Block], dict[str, int]]:
    blocks: list[Block] = []
    completed = dict.fromkeys((way.name for way in ways), 0)
    with Traffic(built, window.directory) as quick, Traffic(built, window.directory / "syn") as plain:
        for number, way in turns(ways, rounds):
            traffic, other = (quick, plain) if way.fast_open else (plain, quick)
            other.close()  # they listen on the same ports
            window.start_sut(way.name)
            start = window.moment()
            done = traffic.connections(
                BLOCK, rate=100, timeout=3.0, grace=0.0, check_rate=False, fast_open=way.fast_open
            )
            blocks.append((number, way.name, start, window.moment()))
            completed[way.name] += done.completed
            with suppress(WaitTimeout):  # what was given up may be repeated for long, and is in no block
                wait_quiet(built, ("client", "server"), rtt_s=window.chain.rtt_ns / 1e9, timeout=SETTLES_S)
            window.stop_sut()
    trace = window.close()
    assert trace is not None
    return trace, blocks, completed


def _tell_latencies(trace: Trace, blocks: Sequence[Block], ways: Sequence[Way], rtt: str, rtt_ns: int) -> None:
    seen = metrics.per_flow(trace) | {"send_unlock": send_unlock(trace), "answer": answered(trace)}

    def of(way: str, metric: str) -> list[Values]:
        """By round."""
        spans = [(start, end) for _, name, start, end in sorted(blocks) if name == way]
        parts = (seen[metric][(trace.began >= start) & (trace.began < end)] for start, end in spans)
        return [part[~np.isnan(part)] for part in parts]

    def told(name: str, way: str, metric: str, unit_ns: float, unit: str) -> None:
        rounds, plain = of(way, metric), of(KERNEL, metric)
        all_of_it, base = np.concatenate(rounds) / unit_ns, float(np.median(np.concatenate(plain))) / unit_ns
        if not len(all_of_it):
            return
        ratios = [
            float(np.median(one)) / float(np.median(each)) if np.median(each) > 0 else float("inf")
            for one, each in zip(plain, rounds, strict=True) if len(one) and len(each)
        ]  # fmt: skip
        same = way == KERNEL or not np.isfinite(ratios).all()
        report.line(
            f"{name}_p50_{unit}", f"{way}/{rtt}", all_of_it.tolist(), unit,
            baseline=None if way == KERNEL else base, ratios=() if same else ratios,
        )  # fmt: skip
        for share in (1, 99):
            report.line(f"{name}_p{share:02d}_{unit}", f"{way}/{rtt}", [float(np.percentile(all_of_it, share))], unit)

    for way in (way.name for way in ways):
        told("ttfb", way, "ttfb", 1e6, "ms")
        told("fct", way, "fct", 1e6, "ms")
        told("send_unlock", way, "send_unlock", 1e6, "ms")
        told("syn_to_synack", way, "answer", 1e3, "us")
        saved = [
            float(np.median(plain) - np.median(each)) / rtt_ns
            for plain, each in zip(of(KERNEL, "ttfb"), of(way, "ttfb"), strict=True)
            if len(plain) and len(each)
        ]
        if way != KERNEL and saved:
            report.line("rtts_saved", f"{way}/{rtt}", saved, "RTT")


def send_unlock(trace: Trace) -> Values:
    """As ``metrics.send_unlock``, and 0 where the SYN itself carries the request."""
    tap, out = trace.rows[Position.CLIENT], metrics.send_unlock(trace)
    syn = tap.first(tap.syn)
    carries = syn >= 0
    carries[carries] = tap.packets.payload_len[syn[carries]] > 0
    out[carries] = 0.0
    return out


def answered(trace: Trace) -> Values:
    """From a SYN to the SYN-ACK that answers it, at ClientNIC's client port; ns."""
    tap = trace.rows[Position.CLIENTNIC_LAN]
    syn, synack = tap.first(tap.syn), tap.first(tap.synack)
    both = (syn >= 0) & (synack >= 0)
    out = np.full(len(syn), np.nan)
    out[both] = tap.packets.time[synack[both]] - tap.packets.time[syn[both]]
    return out


def unlock_alone(directory: Path, topology: str, count: int) -> None:
    """When the client may send its first data, with nothing captured but its own port."""
    with lab(topology, directory, offloads=False) as built:
        port = built.topology.role(Role.CLIENT).ports[0]
        rtt = f"{built.topology.rtt_ms('client', 'server'):g}ms"
        for way in present(built, [way for way in every() if "/" in way.name], directory / "logs"):
            place = directory / "alone" / way.name.replace("/", "-")
            with (
                CaptureSession(built, place, ports=[port]),
                RunningSut(built, way.sut, place),
                Traffic(built, place) as traffic,
            ):
                traffic.connections(count, rate=100, check_rate=False)
            known = metrics.send_unlock(Trace.load(place)) / 1e6
            known = known[~np.isnan(known)]
            report.line("send_unlock_alone_p50_ms", f"{way.name}/{rtt}", known.tolist(), "ms")
            report.line("send_unlock_alone_p99_ms", f"{way.name}/{rtt}", [float(np.quantile(known, 0.99))], "ms")


def in_turn(
    ways: Sequence[Way],
    rounds: int,
    measure: Callable[[Way], Mapping[str, float]],
    units: Mapping[str, tuple[str, int]],
) -> None:
    """Measure each way in every round; ``units``: by row, its unit, and 1 or -1 where larger or smaller is better."""
    found: dict[str, dict[str, list[float]]] = {name: {way.name: [] for way in ways} for name in units}
    failed: set[str] = set()
    for _, way in turns(ways, rounds):
        if way.name in failed:
            continue
        try:
            for name, value in measure(way).items():
                found[name][way.name].append(value)
        except HopscopeError as error:
            report.absent(way.name, f"{', '.join(units)}: {error}")
            failed.add(way.name)
    for name, (unit, sign) in units.items():
        plain = found[name][KERNEL]
        for way in (way.name for way in ways if not {way.name, KERNEL} & failed):
            if way == KERNEL:
                report.line(name, way, plain, unit)
                continue
            ratios = [(each / base) ** sign for each, base in zip(found[name][way], plain, strict=True)]
            report.line(name, way, found[name][way], unit, baseline=float(np.median(plain)), ratios=ratios)


def throughput(built: Lab, ways: Sequence[Way], directory: Path, seconds: int, rounds: int) -> None:
    """iperf3, one stream of cubic, both directions; Gbit/s at the receiver."""

    def measure(way: Way) -> dict[str, float]:
        rates = {}
        with RunningSut(built, way.sut, directory):
            for name, reverse in (("upload_vs_kernel", False), ("throughput_vs_kernel", True)):
                done = iperf3(built, seconds, directory=directory, reverse=reverse, cc="cubic")
                rates[name] = done.bits_per_second / 1e9
        return rates

    in_turn(ways, rounds, measure, dict.fromkeys(("upload_vs_kernel", "throughput_vs_kernel"), ("Gbit/s", 1)))


HTTP = """
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend http
    bind :{port}
    http-request return status 200 content-type text/plain string "yes"
"""


def connections(built: Lab, ways: Sequence[Way], directory: Path, seconds: int, rounds: int) -> None:
    """New connections a second by wrk, one request each, and what the whole machine computes for one."""
    missing = [
        tool for tool in ("wrk", "haproxy") if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin") is None
    ]
    if missing:
        report.absent("connections per second", f"not installed: {', '.join(missing)}")
        return
    service = built.topology.service
    settings = directory / "http.cfg"
    settings.write_text(HTTP.format(port=service.ports[0]))
    server = ["haproxy", "-db", "-f", str(settings)]

    def measure(way: Way) -> dict[str, float]:
        with RunningSut(built, way.sut, directory):
            rate, cost = wrk(built, seconds)
        return {"connection_rate_vs_kernel": rate, "cpu_us_per_connection": cost}

    with built.hosts[service.host].spawn(server, name="http", ready=ListeningPort(service.ports[0])):
        in_turn(ways, rounds, measure, {"connection_rate_vs_kernel": ("1/s", 1), "cpu_us_per_connection": ("us", -1)})


def wrk(built: Lab, seconds: int) -> tuple[float, float]:
    """Connections a second, and microseconds of processor time of the whole machine for each."""
    service = built.topology.service
    target = built.topology.host(service.host).ports[0].address(4)
    argv = ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s", "-H", "Connection: close"]
    before = busy_s()
    said = built.hosts["client"].run([*argv, f"http://{target}:{service.ports[0]}/"], timeout=seconds + 20).text
    spent = busy_s() - before
    total, rate = re.search(r"(\d+) requests in", said), re.search(r"Requests/sec:\s+([\d.]+)", said)
    if total is None or rate is None or "Non-2xx" in said or not int(total[1]):
        raise EnvironmentFault(f"wrk: {said}")
    return float(rate[1]), spent / int(total[1]) * 1e6


def busy_s() -> float:
    """Seconds that all processors have worked (/proc/stat: user, nice, system, then idle, iowait, irq, softirq)."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, within two minutes or so")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="this part alone (again for another)")
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        directory = Path(text)
        wanted = arguments.only or list(PARTS)
        say(f"datapath: {', '.join(wanted)}")
        if "latency" in wanted:
            for topology in ("chain",) if quick else ("chain", "chain-100ms"):
                latencies(directory, topology, 4 if quick else 10)
        if "unlock" in wanted and not quick:
            unlock_alone(directory, "chain-100ms", 500)
        if {"throughput", "connections", "memory"} & set(wanted):
            built = stack.enter_context(lab("chain-lan", directory, offloads=True))
            ways = [way for way in present(built, every(), directory / "logs") if not way.fast_open]
            seconds, rounds = (1, 1) if quick else (3, 3)
            if "throughput" in wanted:
                throughput(built, ways, directory, seconds, rounds)
            if "connections" in wanted:
                connections(built, ways, directory, seconds, rounds)
            if "memory" in wanted:
                memory.per_flow(built, ways, directory, 500 if quick else 2000)


PARTS = ("latency", "unlock", "throughput", "connections", "memory")


if __name__ == "__main__":
    main()
