"""What a pytest session of ours remembers: options, the run directory, and rows for the terminal summary."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hopscope import __version__
from hopscope.plugin.options import LabOptions
from hopscope.run.rundir import Run

if TYPE_CHECKING:
    from hopscope.plugin.comparison import Comparison
    from hopscope.plugin.judged import Judged

#: Names under which results travel in ``user_properties``, which cross pytest-xdist.
VERDICTS = "hopscope.verdicts"
COMPARED = "hopscope.compared"


class Session:
    """One pytest session, or one worker of it. The run directory is made when it is first needed."""

    def __init__(self, config: pytest.Config, options: LabOptions) -> None:
        self.options = options
        self._config = config
        self._run: Run | None = None
        self._judged: dict[str, list[Judged]] = {}
        self._comparisons: dict[str, list[Comparison]] = {}

    @property
    def run(self) -> Run:
        if self._run is None:
            self._run = Run.create(self.options.run_dir, facts(self._config))
            _point_latest(self._run)
        return self._run

    @property
    def started(self) -> bool:
        return self._run is not None

    def finish(self) -> None:
        if self._run is not None:
            self._run.finish()

    def watch(self, item: pytest.Item, judged: Judged) -> None:
        self._judged.setdefault(item.nodeid, []).append(judged)

    def compared(self, item: pytest.Item, comparison: Comparison) -> None:
        self._comparisons.setdefault(item.nodeid, []).append(comparison)

    def properties(self, item: pytest.Item) -> list[tuple[str, str]]:
        """What the test has reached so far, as properties of its report; each is handed out once."""
        comparisons = self._comparisons.pop(item.nodeid, [])
        judged = self._judged.pop(item.nodeid, []) + [part for each in comparisons for part in each.parts]
        verdicts = [
            {"check": verdict.check, "outcome": verdict.outcome.name} for each in judged for verdict in each.verdicts
        ]
        rows = [comparison.row() for comparison in comparisons]
        found = [(VERDICTS, json.dumps(verdicts))] if verdicts else []
        return found + ([(COMPARED, json.dumps(rows))] if rows else [])

    @contextmanager
    def announce(self, text: str) -> Iterator[Callable[[str], None]]:
        """Say what takes time while it happens. Set-up runs under pytest's capture, which is lifted for the line."""

        def say(line: str) -> None:
            capture = self._config.pluginmanager.getplugin("capturemanager")
            reporter = self._config.pluginmanager.getplugin("terminalreporter")
            if reporter is None:  # a worker of pytest-xdist
                return
            if capture is None:
                reporter.write_line(f"hopscope: {line}")
                return
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(f"hopscope: {line}")

        say(text)
        yield say


_KEY = pytest.StashKey[Session]()


def attach(config: pytest.Config, options: LabOptions) -> Session:
    config.stash[_KEY] = session = Session(config, options)
    return session


def session_of(config: pytest.Config) -> Session:
    return config.stash[_KEY]


def facts(config: pytest.Config) -> dict[str, Any]:
    """What the manifest says of the machine and the call. No environment variables: they hold secrets."""
    return {
        "hopscope": __version__,
        "python": sys.version.split()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "root": os.geteuid() == 0,
        "arguments": list(config.invocation_params.args),
    }


def _point_latest(run: Run) -> None:
    """``runs/latest`` is a convenience for people; two sessions at once may race for it, and either may win."""
    link = run.directory.with_name("latest")
    part = run.directory.with_name(f".latest.{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(run.directory.name)
    part.replace(link)
