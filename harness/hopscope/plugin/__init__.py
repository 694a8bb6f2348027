"""The pytest surface of Hopscope: hooks here, fixtures in ``fixtures``, options and markers beside them."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hopscope import __version__
from hopscope.errors import HarnessFault
from hopscope.plugin import faults, markers, options
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
)
from hopscope.plugin.session import COMPARED, VERDICTS, attach, session_of
from hopscope.report import terminal

__all__ = [
    "_hopscope_capture",
    "capture",
    "chain",
    "client",
    "clientnic",
    "compare",
    "hopscope_session",
    "server",
    "servernic",
    "sut",
    "test_directory",
    "trace",
    "traffic",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    markers.register(config)
    attach(config, options.resolve(config))


def pytest_report_header(config: pytest.Config) -> list[str]:
    chosen = session_of(config).options
    rtt = "the topology's RTT" if chosen.rtt_ms is None else f"RTT {chosen.rtt_ms:g} ms"
    sut = chosen.sut or "as the topology says"
    line = f"hopscope {__version__}: provider {chosen.provider}, topology {chosen.topology}, SUT {sut}, {rtt}"
    return [line + (", strict" if chosen.strict else "")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        markers.validate(item)
    markers.deselect_long(config, items)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests on a chain are parametrized by topology, so that pytest groups them and builds each lab once."""
    if "chain" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("lab_topology")
    beside = metafunc.definition.path.parent
    if marker is None:
        wanted: Sequence[tuple[str, Path | None]] = [(session_of(metafunc.config).options.topology, None)]
    else:
        wanted = [(name, beside) for name in marker.args]
    ids: Sequence[Any] = [pytest.HIDDEN_PARAM] if len(wanted) == 1 else [Path(name).stem for name, _ in wanted]
    metafunc.parametrize("chain", wanted, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    yield from _inconclusive_skips(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    yield from _inconclusive_skips(item)


def _inconclusive_skips(item: pytest.Item) -> Generator[None]:
    """What could not be seen is neither a pass nor a failure: a skip with its reason, or a failure when strict."""
    try:
        return (yield)
    except HarnessFault as fault:
        if session_of(item.config).options.strict:
            raise
        pytest.skip(f"INCONCLUSIVE: {fault.message}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        report.user_properties += session_of(item.config).properties(item)
    if report.failed and call.excinfo is not None and item.config.getoption("tbstyle") == "auto":
        report.longrepr = faults.shorten(call.excinfo) or report.longrepr
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows: list[dict[str, Any]] = []
    verdicts: list[dict[str, str]] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in report.user_properties:
                if name == COMPARED:
                    rows += json.loads(value)
                elif name == VERDICTS:
                    verdicts += json.loads(value)
    session = session_of(config)
    if not rows and not verdicts and not session.started:
        return
    terminalreporter.section("hopscope")
    for line in terminal.summary(rows, verdicts):
        terminalreporter.write_line(line)
    if session.started:
        directory = session.run.directory
        shown = directory.relative_to(config.rootpath) if directory.is_relative_to(config.rootpath) else directory
        terminalreporter.write_line(f"run: {shown} (judge it again: hopscope judge {shown})")


def pytest_sessionfinish(session: pytest.Session) -> None:
    session_of(session.config).finish()
