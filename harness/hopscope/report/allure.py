"""A test of a run as an Allure report shows it: parameters, the story as steps, attachments. Knows no Allure library.

Everything comes from the run directory; ``plugin.allure`` hands it to allure-pytest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.report.attachment import Attachment
from hopscope.report.evidence import WORST, Case, Evidence, Limits, read_json
from hopscope.run import rundir, story
from hopscope.wire import sidecar

STATUS = {"passed": "passed", "product": "failed"}
"""Of a step, by its outcome; ``broken`` for all other faults."""
VERDICT_STATUS = {"PASS": "passed", "FAIL": "failed", "INCONCLUSIVE": "broken", "NOT_APPLICABLE": "skipped"}

SHOWN = 24
"""Steps of a story; a comparison has one for each block and each of its programs."""


@dataclass(frozen=True)
class Parameter:
    """``measured`` ones differ from run to run: they do not tell one test from another."""

    name: str
    value: str
    measured: bool = False


@dataclass
class Step:
    """Times are milliseconds since the epoch."""

    title: str
    status: str
    start_ms: int
    stop_ms: int
    steps: list[Step] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)


@dataclass
class Rendered:
    parameters: list[Parameter]
    steps: list[Step]
    attachments: list[Attachment]
    links: list[tuple[str, str]] = field(default_factory=list)
    """Name and address."""


def render(case: Case, work: Path, *, attach: str, limits: Limits | None = None) -> Rendered:
    """``attach`` is ``failed``, ``always`` or ``never``: when all evidence goes into the report; a test that passed
    gets a little with ``failed``, and nothing with ``never``."""
    place = case.directory or case.lab
    links = [("its folder in the run directory", place.absolute().as_uri())] if place is not None else []
    rendered = Rendered(parameters(case), steps(case), [], links)
    if attach == "never":
        return rendered
    if case.kind is None and attach == "failed":
        if case.windows:
            rendered.attachments = Evidence(case, work, limits).passed()
        return rendered
    start, *rest = Evidence(case, work, limits).failed()
    began = min((step.start_ms for step in rendered.steps), default=0)
    ended = max((step.stop_ms for step in rendered.steps), default=0)
    status = "passed" if case.kind is None else STATUS.get(case.kind, "broken")
    # A step that is not green is shown opened, and this one comes first.
    rendered.steps.insert(0, Step(start.title, status, began, began, [], start.attachments))
    rendered.steps += [Step(group.title, "passed", ended, ended, [], group.attachments) for group in rest]
    return rendered


def parameters(case: Case) -> list[Parameter]:
    """Topology, round trips, SUT, placement and datapath, as far as they are known."""
    facts = {} if case.directory is None else read_json(case.directory / rundir.FACTS, {})
    found = []
    if facts:
        found.append(Parameter("topology", str(facts.get("topology"))))
        found.append(Parameter("RTT declared", f"{facts.get('declared_rtt_ms', 0):g} ms"))
        found.append(Parameter("RTT achieved", f"{facts.get('rtt_ms', 0):.2f} ms", measured=True))
    elif case.lab is not None:
        found.append(Parameter("topology", case.lab.name))
    said = [one.facts for one in story.read(case.directory)] if case.directory is not None else []
    said += _events(case)  # a replay has no story; and boxes say how packets get to them
    for name, key in (("SUT", "sut"), ("placement", "placement"), ("datapath", "datapath")):
        if values := dict.fromkeys(str(one[key]) for one in said if isinstance(one.get(key), str)):
            found.append(Parameter(name, ", ".join(values)))
    return found


def _events(case: Case) -> list[dict[str, Any]]:
    """Of the SUT, in the side-cars of its windows."""
    told = [read_json(window / sidecar.NAME, {}).get("sut") for window in case.windows]
    return [event for events in told if isinstance(events, list) for event in events if isinstance(event, dict)]


def steps(case: Case) -> list[Step]:
    """The lab, then what was done in the test, then the verdicts."""
    found = []
    if case.lab is not None and (told := story.read(case.lab)):
        parts = [_step(one) for one in told]
        worst = next((part.status for part in parts if part.status != "passed"), "passed")
        title = "The lab was built and proven, once for its tests" if worst == "passed" else "The lab could not be had"
        found.append(Step(title, worst, parts[0].start_ms, parts[-1].stop_ms, parts))
    if case.directory is not None:
        found += _shortened([_step(one, case.kind) for one in story.read(case.directory)])
        found += [_verdicts(case, folder, reached) for folder, reached in case.verdicts().items()]
    return found


def _step(one: story.Step, kind: str | None = None) -> Step:
    """Connections that went wrong are no fault in themselves: they are shown as one in a test that did not pass."""
    status = STATUS.get(one.outcome, "broken")
    if kind is not None and set(one.facts.get("outcomes", {})) - {"ok"}:
        status = "failed"
    return Step(one.title, status, one.start_ns // 10**6, one.stop_ns // 10**6)


def _shortened(every: list[Step]) -> list[Step]:
    """Runs of like steps in the middle of a long story as one step with parts."""
    if len(every) <= SHOWN:
        return every
    middle = every[SHOWN // 2 : -SHOWN // 4]
    status = next((step.status for step in middle if step.status != "passed"), "passed")
    title = f"{len(middle)} more steps like these"
    return [
        *every[: SHOWN // 2],
        Step(title, status, middle[0].start_ms, middle[-1].stop_ms, middle),
        *every[-SHOWN // 4 :],
    ]


def _verdicts(case: Case, folder: str, reached: list[dict[str, Any]]) -> Step:
    assert case.directory is not None
    when = (case.directory / folder / rundir.VERDICTS).stat().st_mtime_ns // 10**6
    counts = Counter(str(one.get("outcome")) for one in reached)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in VERDICT_STATUS if counts[outcome])
    where = f" of {folder}" if folder not in (".", "capture-1") else ""
    expected = ", as the test expected" if case.kind is None else ""
    parts = []
    for one in reached:
        outcome = str(one.get("outcome"))
        title = f"{one.get('check')}: {one.get('summary')}{expected if outcome in WORST else ''}"
        parts.append(Step(title, VERDICT_STATUS.get(outcome, "broken"), when, when))
    status = next((VERDICT_STATUS[outcome] for outcome in WORST if counts[outcome]), "passed")
    return Step(f"Verdicts{where}: {told}", status, when, when, parts)
