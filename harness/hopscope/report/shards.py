"""Captures that are larger than memory, or judged on several processors: shard by shard, on processes or by Dask."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from hopscope.checks.judge import Judgement
from hopscope.checks.merge import Part, merged
from hopscope.errors import EnvironmentFault, ToolMissing
from hopscope.report.memory import give_back
from hopscope.wire import shards
from hopscope.wire.shards import Shards

SHARD_BYTES = 700 << 20
"""Bytes of captures in one shard: two million packets of 0.3 kB, which take half a gigabyte of memory."""

CONNECT_S = 10
"""A cluster is there within this time, or it is not there."""


def needed(folder: Path, workers: int) -> int:
    """In how many shards a folder is judged: as few as memory allows, and one for each worker at least."""
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix.lower().startswith((".pcap", ".cap")))
    return max(workers, -(-size // SHARD_BYTES), 1)


Way = Callable[[Callable[[int], Part], range], Iterable[Part]]
"""How shards are judged, given a function of a shard's number: parts come in the order of their numbers."""


def judge(folder: Path, expect: str | None, *, way: Way, count: int, progress: Callable[[str], object]) -> Judgement:
    """Judge a folder in ``count`` shards. Raises what judging it whole would raise."""
    with tempfile.TemporaryDirectory(prefix="hopscope-shards-") as spill:
        plan = shards.cut(folder, count, Path(spill), progress)
        parts = []
        for number, each in enumerate(way(partial(part, plan, expect), range(count)), 1):
            parts.append(each)
            progress(f"shard {number} of {count}")
        return merged(parts)


def on_processes(workers: int) -> Way:
    """On so many processes; with one of them here, shard after shard."""

    def way(job: Callable[[int], Part], numbers: range) -> Iterator[Part]:
        if workers == 1:
            yield from map(job, numbers)
            return
        # Workers that are spawned share no threads and no locks with this process.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(job, numbers)

    return way


def on_dask(scheduler: str, workers: int) -> Way:
    """By Dask: ``processes`` or ``threads`` of this machine, else the address of a cluster (``tcp://HOST:PORT``).

    Workers of a cluster find the captures, and the folder for temporary files, under the same path. Raises ToolMissing
    without Dask, or without distributed for a cluster, and EnvironmentFault where there is no cluster.
    """
    try:
        import dask

        if scheduler not in ("processes", "threads"):
            import distributed
    except ImportError as missing:
        raise ToolMissing(f"{missing.name} is not there: pip install 'hopscope[dask]'") from None

    def way(job: Callable[[int], Part], numbers: range) -> Iterable[Part]:
        tasks = [dask.delayed(job, pure=False)(number) for number in numbers]
        if scheduler in ("processes", "threads"):
            return list(dask.compute(*tasks, scheduler=scheduler, num_workers=workers))
        try:
            client = distributed.Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise EnvironmentFault(f"no Dask cluster at {scheduler}: {error}") from None
        with client:
            return list(client.gather(client.compute(tasks)))

    return way


def part(plan: Shards, expect: str | None, number: int) -> Part:
    """One shard, judged: a plain function of the plan and the shard's number."""
    give_back()
    return Part.of(plan.load(number), expect, source=str(plan.folder))
