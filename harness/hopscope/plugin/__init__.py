"""The pytest surface of Hopscope: hooks here, fixtures in ``fixtures``, options and markers beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hopscope import __version__
from hopscope.errors import HarnessFault, HopscopeError, NotOurs
from hopscope.plugin import allure, asked, diffs, ended, failing, faults, markers, newhooks, options, outcomes
from hopscope.plugin.ahead import lab_of
from hopscope.plugin.fixtures import (
    _hopscope_capture,
    capture,
    chain,
    client,
    clientnic,
    compare,
    hopscope_session,
    server,
    servernic,
    sut,
    test_directory,
    trace,
    traffic,
    tunnel,
)
from hopscope.plugin.heartbeat import Heartbeat
from hopscope.plugin.lastmile import explain, lastmile
from hopscope.plugin.session import COMPARED, VERDICTS, Session, attach, session_of
from hopscope.plugin.workers import Workers
from hopscope.report import terminal

__all__ = [
    "_hopscope_capture",
    "capture",
    "chain",
    "client",
    "clientnic",
    "compare",
    "hopscope_session",
    "lastmile",
    "server",
    "servernic",
    "sut",
    "test_directory",
    "trace",
    "traffic",
    "tunnel",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(newhooks)


def pytest_configure(config: pytest.Config) -> None:
    markers.register(config)
    session = attach(config, options.resolve(config))
    config.pluginmanager.register(ended.Interrupts(session), "hopscope-ended")
    allure.register(config)
    config.pluginmanager.register(Heartbeat(session_of(config).teller.say), "hopscope-heartbeat")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers(config), "hopscope-workers")


def pytest_report_header(config: pytest.Config) -> list[str]:
    chosen = session_of(config).options
    rtt = "the topology's RTT" if chosen.rtt_ms is None else f"RTT {chosen.rtt_ms:g} ms"
    sut = chosen.sut or "as the topology says"
    if chosen.replay is not None:
        line = f"hopscope {__version__}: replay of {chosen.replay.directory}, no lab"
        return [line + (", strict" if chosen.strict else "")]
    where = f"provider {chosen.provider}, topology {chosen.topology}" if chosen.use is None else f"lab {chosen.use}"
    line = f"hopscope {__version__}: {where}, SUT {sut}, {rtt}"
    return [line + (", strict" if chosen.strict else "")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        markers.validate(item)
    markers.deselect_long(config, items)
    chosen = session_of(config).options
    if chosen.replay is None:
        asked.check(config, chosen, items)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests on a chain are parametrized by topology, so that pytest groups them and builds each lab once."""
    if "chain" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("lab_topology")
    beside = metafunc.definition.path.parent
    if marker is None:
        chosen = session_of(metafunc.config).options
        tunnel = "tunnel" in metafunc.fixturenames
        wanted: Sequence[tuple[str, Path | None]] = [(chosen.tunnel_topology if tunnel else chosen.topology, None)]
    else:
        wanted = [(name, beside) for name in marker.args]
    ids: Sequence[Any] = [pytest.HIDDEN_PARAM] if len(wanted) == 1 else [Path(name).stem for name, _ in wanted]
    metafunc.parametrize("chain", wanted, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Its turn comes before any clock of the test runs."""
    session = session_of(item.config)
    session.item, session.late = item, None
    budget = item.get_closest_marker("budget") is not None
    lab = lab_of(item) is not None or item.get_closest_marker("integration") is not None  # which has one of its own
    with ExitStack() as stack:
        try:
            if session.replay is None:
                stack.enter_context(session.turns.turn(budget=budget, lab=lab))
        except HarnessFault as fault:
            session.late = fault
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    session = session_of(item.config)
    with _inconclusive_skips(session):
        if session.late is not None:
            raise session.late
        if session.replay is not None:
            session.replay.begin(item)
        else:
            session.ahead.check(item)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    with _inconclusive_skips(session_of(item.config)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    with _inconclusive_skips(session_of(item.config)):
        return (yield)


@contextmanager
def _inconclusive_skips(session: Session) -> Iterator[None]:
    """What could not be seen, or not be done to this lab, is neither a pass nor a failure: a skip with its reason, or a
    failure when strict."""
    try:
        yield
    except NotOurs as fault:
        session.ahead.refuse(fault.message)
    except HarnessFault as fault:
        if session.options.strict:
            raise
        pytest.skip(f"INCONCLUSIVE: {fault.message}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    session = session_of(item.config)
    session.note(item, report)
    if report.when == "call":
        if report.failed and (shown := failing.show(session, item, session.judged(item))) is not None:
            report.sections.append(shown)
        report.user_properties += session.properties(item)
    session.conclude(item, report, call.excinfo)
    tunnel: Any = getattr(item, "funcargs", {}).get("tunnel")
    if report.when == "call" and report.failed and isinstance(getattr(tunnel, "running", None), _tunnel_class()):
        where = session.directories.get(item.nodeid) or session.run.test_directory(item.nodeid)
        told = explain(tunnel, where, session.options.repair)
        report.sections.append(("hopscope: the last mile", told))
    if call.excinfo is not None and isinstance(call.excinfo.value, HopscopeError):
        if report.failed and item.config.getoption("tbstyle") == "auto":
            report.longrepr = faults.shorten(call.excinfo) or report.longrepr
        for cause in item.config.hook.pytest_hopscope_cause(item=item, fault=call.excinfo.value):
            report.sections.append(("hopscope: a cause may be", cause))
    return report


def _tunnel_class() -> type | tuple[()]:
    """RunningTunnel, where anything has imported it: only then can there be one."""
    module = sys.modules.get("hopscope.lab.tunnel")
    found: type | tuple[()] = () if module is None else module.RunningTunnel
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows: list[dict[str, Any]] = []
    verdicts: list[dict[str, str]] = []
    reached: list[dict[str, Any]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == outcomes.OUTCOME:
                    reached.append(json.loads(value))
                elif name == COMPARED and report.when == "call":
                    rows += json.loads(value)
                elif name == VERDICTS and report.when == "call":
                    verdicts += json.loads(value)
    session = session_of(config)
    runs = [session.run.directory] if session.started else session.workers_runs
    if not rows and not verdicts and not runs and session.replay is None:
        return
    terminalreporter.section("hopscope")
    for line in terminal.summary(rows, verdicts):
        terminalreporter.write_line(line)
    if session.replay is not None:
        stored = session.replay.run
        terminalreporter.write_line(f"Replay of {stored.directory}:")
        for line in outcomes.compared(stored.outcomes, reached):
            terminalreporter.write_line(line)
    for directory in runs:
        shown = directory.relative_to(config.rootpath) if directory.is_relative_to(config.rootpath) else directory
        terminalreporter.write_line(
            f"run: {shown} (judge it again: hopscope judge {shown}; a page: hopscope report {shown})"
        )
    for text in session.kept:
        terminalreporter.write_line(text)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    return diffs.explain(op, left, right)


def pytest_exception_interact(node: pytest.Item | pytest.Collector, report: object) -> None:
    if isinstance(node, pytest.Item) and session_of(node.config).options.pause:
        from hopscope.plugin import pause

        pause.pause(session_of(node.config), node)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After pytest's own, in which the last fixtures end and a lab may be kept."""
    session_of(session.config).finish()
    ended.forget()
