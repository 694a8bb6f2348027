"""A run in one line of JSON: what it ran on, what its tests came to, and its budgets with their intervals. Lines of a
history file are digests, so that runs can be compared that are no longer there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import UsageError
from hopscope.report.evidence import Case
from hopscope.run import rundir

MACHINE = ("hopscope", "python", "kernel", "machine", "cpus", "root")


@dataclass(frozen=True)
class Value:
    """A budget of a test: what was measured, with the interval that holds it at 95 %. ``larger`` is better or not."""

    value: float
    low: float
    high: float
    unit: str
    larger: bool
    outcome: str

    def worse_than(self, other: Value) -> bool:
        """Beyond doubt: the intervals do not touch."""
        return self.high < other.low if self.larger else self.low > other.high

    def __str__(self) -> str:
        return f"{self.value:.3f} {self.unit} ({self.low:.3f} .. {self.high:.3f})".replace(" times", "")


@dataclass(frozen=True)
class Digest:
    run: str
    started_ns: int
    context: Mapping[str, str] = field(default_factory=dict)
    """What may explain a change: versions, kernel, binaries, settings as they were read back."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """By test."""
    budgets: Mapping[str, Value] = field(default_factory=dict)
    """By test and check."""

    def line(self) -> str:
        return json.dumps(asdict(self))


def digest(run: Path) -> Digest:
    """Of a session: its run, with those of other workers that lie beside it. UsageError for what is no run."""
    directory = run.resolve()
    manifest = rundir.read_manifest(directory)
    if manifest is None:
        raise UsageError(f"{run}: no run directory; `hopscope runs list` shows those that there are")
    context: dict[str, set[str]] = {name: {str(manifest[name])} for name in MACHINE if name in manifest}
    outcomes: dict[str, str] = {}
    budgets: dict[str, Value] = {}
    for each in rundir.of_session(directory):
        told = rundir.read_manifest(each) or {}
        for name, value in _context(told):
            context.setdefault(name, set()).add(value)
        outcomes |= {outcome["test"]: outcome["outcome"] for outcome in rundir.outcomes(each)}
        for entry in told.get("tests", []):
            if {"test", "directory"} <= entry.keys():
                budgets |= _budgets(entry["test"], Case(each, rundir.below(each, entry["directory"]), None))
    joined = {name: ", ".join(sorted(values)) for name, values in context.items()}
    return Digest(str(manifest.get("run", run.name)), int(manifest.get("started_ns", 0)), joined, outcomes, budgets)


def parsed(line: str) -> Digest | None:
    """A line of a history; None for what is none."""
    try:
        told = json.loads(line)
        budgets = {name: Value(**value) for name, value in told.pop("budgets").items()}
        return Digest(**told, budgets=budgets)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _context(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for lab in manifest.get("labs", []):
        name = lab.get("topology", {}).get("name")
        if (declared := lab.get("declared_rtt_ms")) is not None:
            yield f"round trip of {name}, declared", f"{declared:g} ms"
        if (achieved := lab.get("rtt_ns")) is not None:
            yield f"round trip of {name}, achieved", f"{achieved / 1e6:.1f} ms"
        for link, mechanism in lab.get("mechanism", {}).items():
            yield f"impairment of {name}, {link}", str(mechanism)
        for one in lab.get("settings", []):
            yield f"setting of {name}, {one.get('host')}: {one.get('name')}", str(one.get("seen"))
    for entry in manifest.get("tests", []):
        for sut, facts in entry.get("suts", {}).items():
            module = facts.get("module") or {}
            yield f"version of {sut}", str(facts.get("version"))
            yield f"binary of {sut}", str(module.get("sha256") or facts.get("sha256"))[:16]
            if module.get("git"):
                yield f"revision of {sut}", str(module["git"])[:12]


def _budgets(test: str, case: Case) -> dict[str, Value]:
    found = {}
    for folder, verdicts in case.verdicts().items():
        where = "" if folder in (".", "capture-1") else f" ({folder})"
        for one in verdicts:
            if (value := _value(one.get("metrics") or {}, str(one.get("outcome")))) is not None:
                found[f"{test}{where}: {one.get('check')}"] = value
    return found


_KINDS = (
    (("saved_ns", "low_ns", "high_ns"), 1e6, "ms saved", True),
    (("ratio", "low", "high"), 1.0, "times", False),
    (("value_ns", "low_ns", "high_ns"), 1e6, "ms", False),
)


def _value(metrics: Mapping[str, float], outcome: str) -> Value | None:
    """A round trip saved (more is better), a ratio to the baseline, or a latency; None for other checks."""
    for names, scale, unit, larger in _KINDS:
        if metrics.keys() >= set(names):
            value, low, high = (metrics[name] / scale for name in names)
            return Value(value, low, high, unit, larger, outcome)
    return None
