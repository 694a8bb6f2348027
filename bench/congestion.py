"""Congestion control behind early answers: ``python bench/congestion.py [--quick]``.

iperf3, one stream, at 20 and 100 ms round trip: reno, cubic and bbr, both directions, through plain forwarding and each
placement in turn. Ratios are of one round. BBR is run once more for longer than the ten seconds after which it measures
its least round trip anew, and told from before and after.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import report
from hopscope.lab.lab import Lab
from hopscope.lab.sut import RunningSut
from hopscope.traffic.iperf3 import iperf3
from ways import KERNEL, Way, every, lab, present, say, turns

CONTROLS = ("reno", "cubic", "bbr")
DIRECTIONS = {"upload": False, "download": True}
FORGETS_S = 10
"""BBR keeps the least round trip for this long (bbr_min_rtt_win_sec of Linux), then measures anew for 0.2 s."""


def rate(built: Lab, way: Way, control: str, direction: str, seconds: int, directory: Path) -> list[float]:
    """Gbit/s of each second, at the sender."""
    with RunningSut(built, way.sut, directory):
        done = iperf3(built, seconds, directory=directory, reverse=DIRECTIONS[direction], cc=control)
    return [float(each["sum"]["bits_per_second"]) / 1e9 for each in done.json["intervals"]]


def table(built: Lab, ways: list[Way], seconds: int, rounds: int, directory: Path, rtt: str) -> None:
    for control in CONTROLS:
        for direction in DIRECTIONS:
            found: dict[str, list[float]] = {way.name: [] for way in ways}
            for _, way in turns(ways, rounds):
                found[way.name].append(float(np.mean(rate(built, way, control, direction, seconds, directory))))
            plain = found[KERNEL]
            for name, values in found.items():
                ratios = [each / base for each, base in zip(values, plain, strict=True)]
                report.line(
                    f"{direction}_by_control", f"{name}/{control}/{rtt}", values, "Gbit/s",
                    baseline=None if name == KERNEL else float(np.median(plain)),
                    ratios=() if name == KERNEL else ratios,
                )  # fmt: skip


def forgetting(built: Lab, ways: list[Way], directory: Path, rtt: str) -> None:
    for direction in DIRECTIONS:
        for way in ways:
            seconds = rate(built, way, "bbr", direction, FORGETS_S + 8, directory)
            for name, part in (("before", seconds[1:FORGETS_S]), ("after", seconds[FORGETS_S + 2 :])):
                report.line(f"bbr_{direction}_{name}_10_s", f"{way.name}/{rtt}", part, "Gbit/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of 20 ms")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        for topology in ("chain",) if arguments.quick else ("chain", "chain-100ms"):
            with lab(topology, directory, offloads=True) as built:
                rtt = f"{built.topology.rtt_ms('client', 'server'):g}ms"
                say(f"congestion: {rtt}")
                wanted = [way for way in every() if way.name in (KERNEL, "bpf/stamp", "bpf/hold")]
                ways = present(built, wanted, directory / "logs")
                seconds, rounds = (2, 1) if arguments.quick else (4, arguments.rounds)
                table(built, ways, seconds, rounds, directory / "logs", rtt)
                if not arguments.quick:
                    forgetting(built, ways, directory / "logs", rtt)


if __name__ == "__main__":
    main()
