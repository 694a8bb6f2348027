"""Programs of ours on a host, and its clock: the same whether the host is this machine or another."""

from __future__ import annotations

import time
from pathlib import Path

from hopscope.hosts.executor import Executor

CLOCK_ASKED = 5


def python_program(executor: Executor, file: Path) -> list[str]:
    """The command line that runs a program of the standard library alone by the host's Python. It is copied there,
    unless it is there already because the host is this machine."""
    if executor.here:
        return [executor.python, "-I", "-S", str(file)]
    executor.put(file, file.name)
    return [executor.python, "-I", "-S", str(executor.directory / file.name)]


def now_ns(executor: Executor) -> int:
    """The host's own clock, ns since the epoch; behind another host's by the time that asking takes."""
    if executor.here:
        return time.time_ns()
    return int(executor.run(["date", "+%s%N"]).text)


def clock_ahead_ns(executor: Executor) -> int:
    """By how much the host's clock is ahead of this machine's; 0 for less than half of what asking takes."""
    if executor.here:
        return 0
    best: tuple[int, int] | None = None
    for _ in range(CLOCK_ASKED):
        before = time.time_ns()
        theirs = now_ns(executor)
        took = time.time_ns() - before
        best = min(best or (took, 0), (took, theirs - before - took // 2))
    took, ahead = best or (0, 0)
    return ahead if abs(ahead) > took // 2 else 0
