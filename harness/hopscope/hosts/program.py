"""Programs of ours on a host, and its clock: the same whether the host is this machine or another."""

from __future__ import annotations

import time
from pathlib import Path

from hopscope.hosts.executor import Executor


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
