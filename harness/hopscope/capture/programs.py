"""The two programs that can capture: ours, which drains fast, and tcpdump.

Both speak alike: ``listening on`` on standard error, counters on SIGUSR1 and at their end, SIGINT to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hopscope.hosts.executor import Executor
from hopscope.model.topology import Port

_RECORDER = Path(__file__).with_name("recorder.py")


@dataclass(frozen=True)
class Options:
    """What to capture. ``snaplen`` 0 takes whole frames; a file that reaches ``limit_bytes`` ends its capture."""

    filter: str | None = None
    snaplen: int = 0
    buffer_kib: int = 32 * 1024
    limit_bytes: int = 2_000_000_000

    def without(self, aside: str | None) -> Options:
        """The same, less what the filter ``aside`` matches."""
        if aside is None:
            return self
        return replace(self, filter=f"({self.filter}) and not ({aside})" if self.filter else f"not ({aside})")


Program = Callable[[Executor, Port, Path, Options], list[str]]


def recorder(executor: Executor, port: Port, file: Path, options: Options) -> list[str]:
    """Ours: the last frame is in the file 0.05 s after it passed; works in a plain user's lab; sees a full disk."""
    program = f"recorder-{port.name}.py"  # one copy for each tap: they start at the same time
    executor.put(_RECORDER, program)
    return [
        *(executor.python, "-I", "-S", str(executor.directory / program)),
        *(port.name, str(file), str(options.buffer_kib), str(options.snaplen), str(options.limit_bytes)),
        *([options.filter] if options.filter else []),
    ]


def tcpdump(executor: Executor, port: Port, file: Path, options: Options) -> list[str]:
    """tcpdump: the last frame is in the file up to 1.0 s after it passed; needs real root (setgroups, chown)."""
    return [
        # A file that outgrows its bound ends tcpdump by a signal: rotating, its own way, would cut silently.
        *("prlimit", f"--fsize={options.limit_bytes}", "--core=0", "--"),
        *("tcpdump", "-i", port.name, "-n", "--time-stamp-precision=nano", "-B", str(options.buffer_kib)),
        *("-s", str(options.snaplen), "-Z", "root", "-w", str(file)),
        *([options.filter] if options.filter else []),
    ]


PROGRAMS: dict[str, Program] = {"recorder": recorder, "tcpdump": tcpdump}
