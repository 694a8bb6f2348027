"""Captures that are larger than memory, or judged on several processors: shard by shard, on worker processes."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hopscope.checks.judge import Judgement
from hopscope.checks.merge import Part, merged
from hopscope.report.memory import give_back
from hopscope.wire import shards
from hopscope.wire.shards import Shards

SHARD_BYTES = 700 << 20
"""Bytes of captures in one shard: two million packets of 0.3 kB, which take half a gigabyte of memory."""


def needed(folder: Path, workers: int) -> int:
    """In how many shards a folder is judged: as few as memory allows, and one for each worker at least."""
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix.lower().startswith((".pcap", ".cap")))
    return max(workers, -(-size // SHARD_BYTES), 1)


def judge(
    folder: Path, expect: str | None, *, workers: int, count: int, progress: Callable[[str], object]
) -> Judgement:
    """Judge a folder in ``count`` shards on ``workers`` processes. Raises what judging it whole would raise."""
    with tempfile.TemporaryDirectory(prefix="hopscope-shards-") as spill:
        plan = shards.cut(folder, count, Path(spill), progress)
        parts: list[Part] = []
        if workers == 1:
            for number in range(count):
                progress(f"shard {number + 1} of {count}")
                parts.append(part(plan, number, expect))
        else:
            # Workers that are spawned share no threads and no locks with this process.
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                waiting = [pool.submit(part, plan, number, expect) for number in range(count)]
                for number, each in enumerate(waiting):
                    parts.append(each.result())
                    progress(f"shard {number + 1} of {count}")
        return merged(parts)


def part(plan: Shards, number: int, expect: str | None) -> Part:
    """One shard, judged: a plain function of the plan and the shard's number."""
    give_back()
    return Part.of(plan.load(number), expect, source=str(plan.folder))
