"""Traffic that is noted on the test's tape: what was asked, and the files that hold what came of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hopscope.lab.lab import Lab
from hopscope.run import tape
from hopscope.run.phase import Phase
from hopscope.run.rundir import Run
from hopscope.run.tape import Tape
from hopscope.traffic.iperf3 import Iperf3Report
from hopscope.traffic.report import RateMissed, TrafficReport
from hopscope.traffic.traffic import Traffic


def arguments(call: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of a method's call by name, its defaults among them, as JSON gives them back."""
    bound = inspect.signature(call).bind(None, *given, **named)
    bound.apply_defaults()
    return _plain({name: value for name, value in bound.arguments.items() if name != "self"})


def defaults(call: Callable[..., Any]) -> dict[str, Any]:
    """What the arguments are that a call does not give."""
    known = inspect.signature(call).parameters.values()
    return _plain({each.name: each.default for each in known if each.default is not each.empty})


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return found


class RecordedTraffic(Traffic):
    def __init__(self, lab: Lab, directory: Path, noted: Tape, run: Run) -> None:
        super().__init__(lab, directory)
        self._run = run
        self._tape = noted
        self._iperf3_runs = 0

    def connections(self, *given: Any, **named: Any) -> TrafficReport:
        self._run.enter(Phase.LOADING)
        with self._tape.call("connections", arguments=arguments(Traffic.connections, given, named)) as facts:
            try:
                report = super().connections(*given, **named)
            except RateMissed as missed:
                facts |= self._kept(f"connections-{self._runs}.jsonl", server=dict(missed.report.server))
                raise
            facts |= self._kept(f"connections-{self._runs}.jsonl", server=dict(report.server))
        return report

    def iperf3(self, *given: Any, **named: Any) -> Iperf3Report:
        self._run.enter(Phase.LOADING)
        with self._tape.call("iperf3", arguments=arguments(Traffic.iperf3, given, named)) as facts:
            report = super().iperf3(*given, **named)
            self._iperf3_runs += 1
            name = f"iperf3-{self._iperf3_runs}.json"
            (self._directory / name).write_text(json.dumps(report.json))
            facts |= self._kept(name)
        return report

    def _kept(self, name: str, **more: Any) -> dict[str, Any]:
        return {"file": name, "seal": tape.seal(self._directory / name), **more}
