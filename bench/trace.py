"""The trace engine against tshark, and against itself at eight times the size: ``python bench/trace.py [--quick]``.

Captures are made by ``bench/captures.py``. The baseline is one side through

    tshark -n -r clientnic-eth0.pcap -o tcp.check_checksum:TRUE -T fields -e tcp.checksum.status

and ours prints the same lines, which have to be equal. Times are wall times of whole processes, exec to exit, ours and
the baseline's in pairs that follow each other, each first in turn; memory is anonymous memory, sampled every 10 ms.
``processor_s`` and ``processor_per_packet_8m_vs_1m`` are the same in processor time, which other work on the machine
disturbs less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import captures
import report

if TYPE_CHECKING:  # the children import what they measure, and nothing before they have to
    from hopscope.wire.shards import Shards

NEAR = captures.FILES[0]
TIMEOUT_S = 1800

_STATUS = {"GOOD": b"1", "BAD": b"0", "UNVERIFIABLE": b"2", "PARTIAL": b"0"}
"""tshark's numbers (a partial checksum is bad to it)."""


@dataclass(frozen=True)
class Timed:
    seconds: float
    processor: float
    """Seconds of processor time, children included."""
    peak_mib: float
    output: bytes


def ours(task: str, path: Path, *more: str) -> list[str]:
    return [sys.executable, __file__, "--task", task, str(path), *more]


def tshark(path: Path) -> list[str]:
    checked = ["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e", "tcp.checksum.status"]
    return ["tshark", "-n", "-r", str(path), *checked]


def timed(argv: Sequence[str]) -> Timed:
    """Run a command to its end; raises when it fails."""
    with tempfile.TemporaryFile() as out:
        start, used = time.perf_counter(), _processor()
        with subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL) as process:
            watch = _Watch(process.pid)
            watch.start()
            code = process.wait(timeout=TIMEOUT_S)
        seconds = time.perf_counter() - start
        watch.join()
        if code:
            raise SystemExit(f"{argv} ended with {code}")
        out.seek(0)
        return Timed(seconds, _processor() - used, watch.peak_mib, out.read())


def _processor() -> float:
    """Seconds of processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Watch(threading.Thread):
    """The most anonymous memory that a process and its children held together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mib = pid, 0.0

    def run(self) -> None:
        while Path(f"/proc/{self.pid}").exists():
            self.peak_mib = max(self.peak_mib, _anonymous_kib(self.pid) / 1024)
            time.sleep(0.01)


def _anonymous_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return 0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return own + sum(_anonymous_kib(int(child)) for child in children)


def checksums(path: Path) -> None:
    """Print the status of every frame's TCP checksum, one line each, as tshark does."""
    from hopscope.wire import pcap
    from hopscope.wire.packets import ChecksumState

    look = np.zeros((len(ChecksumState), 2), np.uint8)
    look[:, 1] = ord("\n")
    for name, status in _STATUS.items():
        look[ChecksumState[name], 0] = ord(status)
    for packets in pcap.windows(path):
        lines = look[np.where(packets.is_tcp, packets.l4_checksum, ChecksumState.ABSENT)]
        sys.stdout.buffer.write(lines[lines > 0].tobytes())


def sides(path: Path) -> None:
    """Correlate both sides of the box, payload compared; print what was found."""
    from hopscope.report.memory import give_back
    from hopscope.report.shards import needed
    from hopscope.wire import shards

    give_back()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as spill:
        count = needed(path, 1)
        plan = shards.cut(path, count, Path(spill)) if count > 1 else None
        for number in range(count):
            total.update(_matched(path if plan is None else plan, number))
    print(json.dumps(total))


def _matched(source: Path | Shards, number: int) -> Counter[str]:
    """A folder, or a shard of one: flows, segments that have a twin, and what has none."""
    from hopscope.checks.correlation import Kind, correlate
    from hopscope.wire.trace import Trace

    trace = Trace.load(source) if isinstance(source, Path) else source.load(number)
    found = Counter(flows=len(trace))
    for way in correlate(trace):
        found.update(twins=len(way.twins[0]), **{kind.value: len(way.of(kind)) for kind in Kind})
    return found


def against_tshark(folder: Path, frames: int, pairs: int) -> None:
    label = f"{frames:,} packets a side"
    runs: dict[str, list[Timed]] = {"tshark": [], "checksums": [], "sides": []}
    commands = {"tshark": tshark(folder / NEAR), "checksums": ours("checksums", folder / NEAR),
                "sides": ours("sides", folder)}  # fmt: skip
    for pair in range(pairs):
        for name in list(commands) if pair % 2 == 0 else reversed(list(commands)):
            runs[name].append(timed(commands[name]))
    if {run.output for run in runs["checksums"]} != {run.output for run in runs["tshark"]}:
        raise SystemExit("tshark and we do not agree on the checksums")
    found = {run.output for run in runs["sides"]}
    print(found, file=sys.stderr)
    base = [run.seconds for run in runs["tshark"]]
    for name, metric in (("checksums", "checksums_vs_tshark"), ("sides", "two_sides_vs_tshark")):
        mine = [run.seconds for run in runs[name]]
        ratios = [theirs / own for theirs, own in zip(base, mine, strict=True)]
        report.line(metric, label, mine, "s", baseline=float(np.median(base)), ratios=ratios)
    busy = [run.processor for run in runs["tshark"]]
    for name in ("checksums", "sides"):
        mine = [run.processor for run in runs[name]]
        ratios = [theirs / own for theirs, own in zip(busy, mine, strict=True)]
        report.line("processor_s", f"{name}, {label}", mine, "s", baseline=float(np.median(busy)), ratios=ratios)
    theirs = [run.peak_mib for run in runs["tshark"]]
    for name in ("checksums", "sides"):
        mine = [run.peak_mib for run in runs[name]]
        ratios = [one / other for one, other in zip(theirs, mine, strict=True)]
        report.line("peak_mib", f"{name}, {label}", mine, "MiB", baseline=float(np.median(theirs)), ratios=ratios)


def against_size(small: Path, large: Path, frames: tuple[int, int], pairs: int) -> None:
    """Time per packet of eight times as many packets."""
    for task, few, many in (("checksums", small / NEAR, large / NEAR), ("sides", small, large)):
        each: dict[int, list[Timed]] = {0: [], 1: []}
        for pair in range(pairs):
            for size in (0, 1) if pair % 2 == 0 else (1, 0):
                each[size].append(timed(ours(task, (few, many)[size])))
        label = f"{task}, {frames[1]:,} packets a side"
        for name, column in (("time", "seconds"), ("processor", "processor")):
            base, mine = ([getattr(run, column) / frames[n] * 1e6 for run in each[n]] for n in (0, 1))
            ratios = [one / eight for one, eight in zip(base, mine, strict=True)]
            metric = f"{name}_per_packet_8m_vs_1m"
            report.line(metric, label, mine, "us", baseline=float(np.median(base)), ratios=ratios)
        report.line("peak_mib", label, [run.peak_mib for run in each[1]], "MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the packets, within a minute")
    parser.add_argument("--task", choices=("checksums", "sides"), help=argparse.SUPPRESS)
    parser.add_argument("path", nargs="?", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        {"checksums": checksums, "sides": sides}[arguments.task](arguments.path)
        return
    flows, pairs = (10_000, 3) if arguments.quick else (100_000, 3)
    with tempfile.TemporaryDirectory() as directory:
        small, large = Path(directory, "1"), Path(directory, "8")
        small.mkdir()
        large.mkdir()
        frames = captures.write(small, flows), captures.write(large, 8 * flows)
        against_tshark(small, frames[0], pairs)
        against_size(small, large, frames, 2 if arguments.quick else pairs)


if __name__ == "__main__":
    main()
