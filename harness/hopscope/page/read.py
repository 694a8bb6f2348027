"""A run as the page tells it: its tests with what they came to and whose fault that is, its labs, its machine.

Nothing is judged here: outcomes and verdicts are those that the session wrote down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import UsageError
from hopscope.report.evidence import Case, read_json
from hopscope.run import rundir

ORDER = ("FAIL", "INCONCLUSIVE", "PASS", "SKIPPED")
FAULTS = {
    "product": "the product's: what the captures show is not what was claimed",
    "environment": "the environment's: a setting, tool or host was not as claimed; nothing is said about the product",
    "harness": "nobody's yet: the harness could not see enough to conclude",
    "test": "the test's own: nothing is said about the product",
    "usage": "the call's: what was asked for makes no sense",
}
"""Whose fault, by the kind of the error that ended the test."""


@dataclass(frozen=True)
class Test:
    __test__ = False

    nodeid: str
    outcome: str
    kind: str | None
    """Of what ended it, a key of FAULTS; None where it passed, or nobody told."""
    reason: str
    case: Case
    entry: Mapping[str, Any]
    """What the manifest says of it."""
    lab: Mapping[str, Any]
    """What the manifest says of its lab."""

    @property
    def bad(self) -> bool:
        return self.outcome in ("FAIL", "INCONCLUSIVE")


@dataclass
class Told:
    """A session: its run, with those of the other workers of it that lie beside."""

    runs: list[Path]
    manifest: Mapping[str, Any]
    tests: list[Test] = field(default_factory=list)
    lab_faults: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """Topology, and why its lab could not be had."""
    going_on: bool = False


def read(run: Path) -> Told:
    """Tests that failed come first. UsageError for what is no run."""
    directory = run.resolve()
    manifest = rundir.read_manifest(directory)
    if manifest is None:
        raise UsageError(f"{run}: no run directory; `hopscope runs list` shows those that there are")
    told = Told(rundir.of_session(directory), manifest)
    for each in told.runs:
        told.tests += _tests(each, rundir.read_manifest(each) or {})
        told.lab_faults += [
            (file.parent.name, read_json(file, {})) for file in sorted(each.glob(f"labs/*/{rundir.FAULT}"))
        ]
        told.going_on |= rundir.alive(each)
    told.tests.sort(key=lambda test: ORDER.index(test.outcome) if test.outcome in ORDER else 0)
    return told


def _tests(run: Path, manifest: Mapping[str, Any]) -> Iterator[Test]:
    labs = {lab.get("lab"): lab for lab in manifest.get("labs", [])}
    outcomes = {outcome["test"]: outcome for outcome in rundir.outcomes(run)}
    known = {entry["test"]: entry for entry in manifest.get("tests", []) if "test" in entry}
    for nodeid in dict.fromkeys([*known, *outcomes]):
        entry, reached = known.get(nodeid, {}), outcomes.get(nodeid, {})
        directory = rundir.below(run, entry["directory"]) if "directory" in entry else None
        lab = labs.get(entry.get("lab"), {})
        name = lab.get("topology", {}).get("name")
        place = run / "labs" / rundir.slug(str(name)) if name else None
        case = Case(run, directory, place)
        outcome = reached.get("outcome") or _outcome(case)
        yield Test(nodeid, outcome, _kind(reached, outcome, case), reached.get("reason", ""), case, entry, lab)


def _outcome(case: Case) -> str:
    """Of a test whose session did not live to tell, or is of a version that did not: by its verdicts."""
    reached = {one.get("outcome") for verdicts in case.verdicts().values() for one in verdicts}
    return next((word for word in ("FAIL", "INCONCLUSIVE") if word in reached), "PASS" if reached else "SKIPPED")


def _kind(reached: Mapping[str, Any], outcome: str, case: Case) -> str | None:
    if outcome == "INCONCLUSIVE":
        return "harness"
    if outcome != "FAIL":
        return None
    if reached.get("kind"):
        return str(reached["kind"])
    if case.directory is not None and (fault := read_json(case.directory / rundir.FAULT, {})):
        return str(fault.get("kind"))
    faults = (one.get("fault") for verdicts in case.verdicts().values() for one in verdicts)
    return next((str(fault) for fault in faults if fault), None)
