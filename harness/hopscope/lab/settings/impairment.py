"""What a link does to packets, changed while the lab is up. The link itself is the host: it acts between its ports."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.hosts.wait import wait_until
from hopscope.lab.plan import NETEM_LIMIT, line_options
from hopscope.lab.setting import read_back
from hopscope.model.topology import Impairment

ANSWER_SECONDS = 5.0
ENDS = ("a", "b")  # the two ports in the middle of a link


@dataclass
class NetemImpairment:
    """A link with netem on both ways out of its middle. ``host`` is the link's name, ``ports`` are those in the middle;
    where they have no netem yet, they have none afterwards."""

    host: str
    impairment: Impairment
    ports: tuple[str, str] = ENDS
    _before: dict[str, list[str] | None] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return "impairment (netem)"

    @property
    def wanted(self) -> str:
        return _text({"delay_ms": self.impairment.rtt_ms / 2, "loss": self.impairment.loss})

    def read(self, executor: Executor) -> str:
        """Delay and loss of one direction; of both where they differ."""
        return " / ".join(dict.fromkeys(_text(parse_netem(_qdiscs(executor, port))) for port in self.ports))

    def apply(self, executor: Executor) -> None:
        if self.impairment.reorder:
            raise EnvironmentFault("netem cannot hold single packets back: reordering needs the delay line")
        self._before = {port: _netem_before(executor, port) for port in self.ports}
        wanted = netem_arguments({"delay_ms": self.impairment.rtt_ms / 2, "loss": self.impairment.loss})
        self._write(executor, dict.fromkeys(self.ports, wanted))

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._write(executor, self._before)

    def _write(self, executor: Executor, arguments: Mapping[str, list[str] | None]) -> None:
        for port, words in arguments.items():
            change = ["del", "dev", port, "root"]
            if words is not None:
                change = ["replace", "dev", port, "root", "handle", "1:", "netem", *words]
            executor.run(["tc", "qdisc", *change], check=False)


@dataclass
class LineImpairment:
    """A link made by a delay line, which is told in its control file and says what it does. ``host`` is the link."""

    host: str
    impairment: Impairment
    process: Process
    control: Path
    _before: dict[str, float] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return "impairment (delay line)"

    @property
    def wanted(self) -> str:
        return _text(line_options(self.impairment))

    def read(self, executor: Executor) -> str:
        return _text(self._options())

    def apply(self, executor: Executor) -> None:
        self._before = self._options()
        self._write(executor, line_options(self.impairment))

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._write(executor, self._before)

    def _options(self) -> dict[str, float]:
        options: dict[str, float] = json.loads(self.process.lines()[-1])["options"]
        return options

    def _write(self, executor: Executor, options: dict[str, float]) -> None:
        executor.run(["tee", str(self.control)], stdin=json.dumps(options).encode())
        ask_line(self.process, signal.SIGHUP)


def ask_line(process: Process, sig: int) -> dict[str, Any]:
    """Signal a delay line and return what it answers: HUP to read its control file, USR1 for its counters."""
    said = len(process.lines())
    process.signal(sig)
    wait_until(
        lambda: len(process.lines()) > said or process.poll() is not None,
        timeout=ANSWER_SECONDS,
        interval=0.002,
        what="the delay line to answer",
    )
    answer: dict[str, Any] = json.loads(process.lines()[-1])
    return answer


def _qdiscs(executor: Executor, end: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(executor.run(["tc", "-j", "qdisc", "show", "dev", end]).stdout or b"[]")
    return listed


def _netem_before(executor: Executor, port: str) -> list[str] | None:
    """What netem is told at a port now, None where it has none. EnvironmentFault for a queue that somebody has made:
    the kernel's own have the handle 0: and come back by themselves."""
    root = [each for each in _qdiscs(executor, port) if each.get("root")]
    if any(each["kind"] == "netem" for each in root):
        return netem_arguments(parse_netem(root))
    if others := [each["kind"] for each in root if each.get("handle", "0:") != "0:"]:
        raise EnvironmentFault(
            f"{port} has a queue of its own ({', '.join(others)}), which netem would replace", host=executor.name
        )
    return None


def parse_netem(qdiscs: list[dict[str, Any]]) -> dict[str, float]:
    """Delay (ms) and loss (a share) in what ``tc -j qdisc show`` prints; tc gives seconds and a share."""
    options: dict[str, Any] = next((each.get("options", {}) for each in qdiscs if each.get("kind") == "netem"), {})
    return {
        "delay_ms": float(options.get("delay", {}).get("delay", 0.0)) * 1000,
        "loss": float(options.get("loss-random", {}).get("loss", 0.0)),
    }


def netem_arguments(options: dict[str, float]) -> list[str]:
    """Words for tc: one direction, with a queue that does not drop on its own."""
    words = ["limit", str(NETEM_LIMIT), "delay", f"{round(options['delay_ms'] * 1000)}us"]
    return [*words, "loss", "random", f"{options['loss'] * 100:g}%"] if options["loss"] else words


def _text(options: dict[str, float]) -> str:
    """Delays to the microsecond: netem keeps them in ticks of 64 ns."""
    digits = {name: 3 if name.endswith("_ms") else 6 for name in options}
    return " ".join(f"{name}={round(value, digits[name]):g}" for name, value in sorted(options.items()))
