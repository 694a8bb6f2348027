"""What a pytest session of ours remembers: options, the run directory, and rows for the terminal summary."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hopscope import __version__
from hopscope.checks.verdict import Outcome
from hopscope.errors import HarnessFault
from hopscope.plugin.ahead import Ahead, lab_of
from hopscope.plugin.options import LabOptions
from hopscope.plugin.outcomes import OUTCOME, Outcomes
from hopscope.plugin.replay import Replay
from hopscope.plugin.telling import Teller
from hopscope.plugin.turns import Turns
from hopscope.run.rundir import Run

if TYPE_CHECKING:
    from hopscope.plugin.chains import Chain
    from hopscope.plugin.comparison import Comparison
    from hopscope.plugin.judged import Judged
    from hopscope.plugin.tunnels import Tunnel

#: Names under which results travel in ``user_properties``, which cross pytest-xdist.
VERDICTS = "hopscope.verdicts"
COMPARED = "hopscope.compared"


class Session:
    """One pytest session, or one worker of it. The run directory is made when it is first needed."""

    def __init__(self, config: pytest.Config, options: LabOptions) -> None:
        self.options = options
        self.config = config
        self._run: Run | None = None
        self._judged: dict[str, list[Judged | Tunnel]] = {}
        self._comparisons: dict[str, list[Comparison]] = {}
        self.worker = worker_of(config)
        self.teller = Teller(config)
        self.ahead = Ahead(strict=options.strict)
        self.replay = None if options.replay is None else Replay(options.replay)
        self.outcomes = Outcomes(VERDICTS)
        self.turns = Turns(
            session_id(config),
            self.teller.say,
            alone=None if options.places is None else self.worker,
            places=options.places or 1,
        )
        self.item: pytest.Item | None = None
        """The test that runs."""
        self.chains: dict[Any, Chain] = {}
        """Labs that are up, by the parameter of ``chain``."""
        self._passed = ""
        self.directories: dict[str, Path] = {}
        """Folders of tests in the run directory, by node id; of several attempts the newest."""
        self.lab_directories: dict[Any, Path] = {}
        """Folders of labs in the run directory, by the parameter of ``chain``, also of what could not be built."""
        self.failed: set[Any] = set()
        """Labs on which a test has failed."""
        self.late: HarnessFault | None = None
        """Why the turn of the test that runs did not come."""
        self.workers_runs: list[Path] = []
        """Runs of the workers of this session, where it is their controller."""
        self.kept: list[str] = []
        """What to tell at the end about labs that were kept."""

    @property
    def run(self) -> Run:
        if self._run is None:
            known = facts(self.config, self.options)
            self._run = Run.create(self.options.run_dir, known, worker=self.worker)
            if self.replay is None:  # the latest run is one that can be replayed
                _point_latest(self._run)
        return self._run

    @property
    def started(self) -> bool:
        return self._run is not None

    def finish(self) -> None:
        self.turns.end()
        if self._run is not None:
            self._write(self._run.finish)

    def _write(self, note: Callable[[], None]) -> None:
        """A disk that is full is told once, in the summary: it must not end pytest as a mistake of its own."""
        try:
            note()
        except OSError as error:
            told = f"the run is not whole: it could not be written: {error.strerror}"
            if told not in self.kept:
                self.kept.append(told)

    def keeps(self, lab: Any) -> bool:
        """Whether the lab of this key is to outlive the session."""
        return self.options.keep == "always" or (self.options.keep == "failed" and lab in self.failed)

    def note(self, item: pytest.Item, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(lab_of(item))
        if report.when == "call":
            self._passed = item.nodeid if report.passed else ""

    def passed(self, item: pytest.Item) -> bool:
        """Whether the body of the test, which has just ended, passed."""
        return self._passed == item.nodeid

    def conclude(
        self, item: pytest.Item, report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None
    ) -> None:
        """Add the report to what a test on a lab comes to; the last one carries it, and the run keeps it."""
        if lab_of(item) is None and item.get_closest_marker("integration") is None:
            return
        reached = self.outcomes.add(item.nodeid, report, error)
        if reached is None:
            return
        report.user_properties.append((OUTCOME, json.dumps(reached)))
        if self.started:
            self._write(lambda: self.run.note_outcome(reached))

    def watch(self, item: pytest.Item, judged: Judged | Tunnel) -> None:
        self._judged.setdefault(item.nodeid, []).append(judged)

    def judged(self, item: pytest.Item) -> list[Judged | Tunnel]:
        """What the test has judged, before its properties are handed out."""
        comparisons = self._comparisons.get(item.nodeid, [])
        return [*self._judged.get(item.nodeid, []), *(part for each in comparisons for part in each.parts)]

    def compared(self, item: pytest.Item, comparison: Comparison) -> None:
        self._comparisons.setdefault(item.nodeid, []).append(comparison)

    def properties(self, item: pytest.Item) -> list[tuple[str, str]]:
        """What the test has reached so far, as properties of its report; each is handed out once."""
        judged = self.judged(item)
        self._judged.pop(item.nodeid, None)
        comparisons = self._comparisons.pop(item.nodeid, [])
        for verdict in (verdict for each in judged for verdict in each.verdicts):
            if verdict.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
                self.config.hook.pytest_hopscope_finding(item=item, verdict=verdict)
        verdicts = [
            {"check": verdict.check, "outcome": verdict.outcome.name} for each in judged for verdict in each.verdicts
        ]
        rows = [comparison.row() for comparison in comparisons]
        found = [(VERDICTS, json.dumps(verdicts))] if verdicts else []
        return found + ([(COMPARED, json.dumps(rows))] if rows else [])


_KEY = pytest.StashKey[Session]()


def attach(config: pytest.Config, options: LabOptions) -> Session:
    config.stash[_KEY] = session = Session(config, options)
    return session


def session_of(config: pytest.Config) -> Session:
    return config.stash[_KEY]


def worker_of(config: pytest.Config) -> str | None:
    """The name of this worker of pytest-xdist (gw0), None outside."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    return None if worker is None else str(worker)


def session_id(config: pytest.Config) -> str | None:
    """What all workers of one session share, None where it has but one process."""
    identity = getattr(config, "workerinput", {}).get("testrunuid")
    return None if identity is None else str(identity)


def facts(config: pytest.Config, options: LabOptions) -> dict[str, Any]:
    """What the manifest says of the machine and the call. No environment variables: they hold secrets."""
    replayed = {} if options.replay is None else {"replay_of": str(options.replay.directory)}
    return {
        **replayed,
        "hopscope": __version__,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "root": os.geteuid() == 0,
        "arguments": list(config.invocation_params.args),
        "session": session_id(config),
        "options": {"topology": options.topology, "sut": options.sut, "rtt_ms": options.rtt_ms},
    }


def _point_latest(run: Run) -> None:
    """``runs/latest`` is a convenience for people; two sessions at once may race for it, and either may win."""
    link = run.directory.with_name("latest")
    part = run.directory.with_name(f".latest.{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(run.directory.name)
    part.replace(link)
