"""Results for Allure reports, where allure-pytest is there and ``--alluredir`` is given. Only this file knows it.

Attached is after the fixtures of a test have ended: its folder in the run directory is whole then, and the test's own
result, not that of a fixture, is the one that is open.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from hopscope.errors import HarnessFault, HopscopeError
from hopscope.plugin.ahead import NotRun, lab_of
from hopscope.plugin.session import session_of

if TYPE_CHECKING:
    from hopscope.report.allure import Rendered, Step
    from hopscope.report.attachment import Attachment

#: Lines of a fault in a result's message; the rest is attached.
SHOWN_LINES = 6
#: Fixtures of ours that mean nothing to a reader.
PLUMBING = ("_hopscope_capture", "hopscope_session", "test_directory")

_KIND = pytest.StashKey[tuple[str, str, str]]()
"""Of a test that has not passed: whose fault it is, Allure's status, and the message."""


def register(config: pytest.Config) -> None:
    """Nothing where no results are wanted."""
    if not config.getoption("allure_report_dir", None):
        return
    import allure_commons

    config.pluginmanager.register(AllureResults(config), "hopscope-allure")
    allure_commons.plugin_manager.register(redactor := _redactor())
    config.add_cleanup(lambda: allure_commons.plugin_manager.unregister(redactor))


def _redactor() -> object:
    """Takes secrets out of messages and tracebacks, those of fixtures too, before allure-pytest writes them."""
    import allure_commons

    from hopscope.report.attachment import redacted

    def redact(*parts: Any) -> None:
        for part in parts:
            if part.statusDetails is not None:
                part.statusDetails.message = redacted(part.statusDetails.message or "")
                part.statusDetails.trace = redacted(part.statusDetails.trace or "")

    class Redactor:
        @allure_commons.hookimpl(tryfirst=True)
        def report_result(self, result: Any) -> None:
            redact(result)

        @allure_commons.hookimpl(tryfirst=True)
        def report_container(self, container: Any) -> None:
            container.befores = [one for one in container.befores if one.name not in PLUMBING]
            redact(*container.befores, *container.afters)

    return Redactor()


class AllureResults:
    """Registered as a plugin where results are wanted."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield  # the first wrapper is the last to go on: allure-pytest has written down its view by then
        if _KIND not in item.stash and (found := blame(item, call, report)) is not None:
            item.stash[_KIND] = found
        if report.when == "teardown":
            self._complete(item)
        return report

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """What there is one of in all: not by the workers of pytest-xdist, and after the last of them."""
        if hasattr(config, "workerinput"):
            return
        from hopscope.report import allure_files

        session = session_of(config)
        runs = [session.run.directory] if session.started else session.workers_runs
        chosen = {
            "provider": session.options.provider,
            "topology": session.options.topology,
            "SUT": session.options.sut or "as the topology says",
            "strict": session.options.strict,
            "replay of": session.options.replay and session.options.replay.directory.name,
        }
        allure_files.write(Path(config.getoption("allure_report_dir")), runs, os.environ, chosen)

    def _complete(self, item: pytest.Item) -> None:
        """Whose fault it is, into the status and the message; parameters, story and attachments of a test on a lab."""
        listener = self._config.pluginmanager.getplugin("allure_listener")
        result = None if listener is None else listener.allure_logger.get_test(None)
        if result is None:
            return
        kind, status, message = item.stash.get(_KIND, (None, "", ""))
        if kind is not None:
            _blame(result, kind, status, message)
        session = session_of(self._config)
        if lab_of(item) is None or not session.started:
            return
        from hopscope.report.allure import render
        from hopscope.report.attachment import text
        from hopscope.report.evidence import Case

        case = Case(
            run=session.run.directory,
            directory=session.directories.pop(item.nodeid, None),
            lab=session.lab_directories.get(lab_of(item)),
            kind=kind,
            message=message,
        )
        taken = _Result(listener.allure_logger, result)
        try:
            with tempfile.TemporaryDirectory(prefix="hopscope-") as work:
                rendered = render(case, Path(work), attach=session.options.attach)
                taken.take(rendered)
            _identify(result, item, rendered)
        except Exception:  # a mistake here must not cost the session its other tests
            taken.attach(text("The evidence could not be attached", traceback.format_exc()))


def blame(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Whose fault it is that a phase did not pass, None where it did or where nobody of ours can tell.

    By the class of what was raised: a HopscopeError says it itself; an assertion in the body of a test on a lab is one
    about the product; what keeps such a test from being run is the environment's; any other exception is the test's.
    """
    if call.excinfo is None or hasattr(report, "wasxfail"):
        return None
    error = call.excinfo.value
    if isinstance(error, HopscopeError):
        return error.kind, "failed" if error.kind == "product" else "broken", str(error)
    if isinstance(error, NotRun):
        return "environment", "skipped", str(error)
    if isinstance(error, pytest.skip.Exception):
        inconclusive = isinstance(error.__context__, HarnessFault)
        return ("harness", "skipped", f"INCONCLUSIVE: {error.__context__}") if inconclusive else None
    if lab_of(item) is None:
        return None
    if report.when == "setup" and isinstance(error, pytest.fail.Exception):
        return "environment", "broken", str(error)
    if report.when == "call" and isinstance(error, AssertionError | pytest.fail.Exception):
        return "product", "failed", call.excinfo.exconly()
    return "test", "broken", call.excinfo.exconly()


def _blame(result: Any, kind: str, status: str, message: str) -> None:
    from allure_commons.model2 import Label, StatusDetails

    trace = result.statusDetails.trace if result.statusDetails is not None else None
    result.status = status
    result.statusDetails = StatusDetails(message=shortened(f"{kind}: {message}"), trace=trace)
    result.labels.append(Label(name="fault", value=kind))


def shortened(message: str) -> str:
    lines = message.splitlines()
    more = [f"    ... {len(lines) - SHOWN_LINES} more lines: see Start here"] if len(lines) > SHOWN_LINES else []
    return "\n".join([*lines[:SHOWN_LINES], *more])


def _identify(result: Any, item: pytest.Item, rendered: Rendered) -> None:
    """One history for each test with its topology, SUT and placement, on whatever machine and at whatever speed."""
    told = [f"{each.name}={each.value}" for each in rendered.parameters if not each.measured]
    result.historyId = hashlib.md5("\n".join([item.nodeid, *told]).encode(), usedforsecurity=False).hexdigest()


class _Result:
    """The open result of a test, in the reporter of allure-pytest."""

    def __init__(self, reporter: Any, result: Any) -> None:
        self._reporter = reporter
        self._result = result

    def take(self, rendered: Rendered) -> None:
        from allure_commons.model2 import Link, Parameter

        self._result.links += [Link(type="link", url=url, name=name) for name, url in rendered.links]
        ours = {each.name for each in rendered.parameters}
        # pytest's own parameter of the chain is a path on this machine.
        kept = [one for one in self._result.parameters if one.name != "chain" and one.name not in ours]
        self._result.parameters = [
            *(
                Parameter(name=each.name, value=each.value, excluded=each.measured or None)
                for each in rendered.parameters
            ),
            *(one for one in kept if not (one.name == "sut" and "SUT" in ours)),
        ]
        theirs = list(self._result.steps)
        for step in rendered.steps:
            self._step(step)
        for one in rendered.attachments:
            self.attach(one)
        if theirs:  # steps that the test has told itself, where they belong
            self._result.steps.sort(key=lambda step: step.start)

    def _step(self, step: Step) -> None:
        from allure_commons.model2 import TestStepResult

        uuid = str(uuid4())
        made = TestStepResult(name=step.title, status=step.status, start=step.start_ms, stop=step.stop_ms)
        self._reporter.start_step(None, uuid, made)
        for part in step.steps:
            self._step(part)
        for one in step.attachments:
            self.attach(one)
        self._reporter.stop_step(uuid)

    def attach(self, one: Attachment) -> None:
        mime, extension = one.kind
        what = {"name": one.name, "attachment_type": mime, "extension": extension}
        if isinstance(one.body, Path):
            self._reporter.attach_file(str(uuid4()), str(one.body), **what)
        else:
            self._reporter.attach_data(str(uuid4()), one.body, **what)
