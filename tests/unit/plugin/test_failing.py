"""What a failed test shows beside its error."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hopscope.checks.judge import judge_trace
from hopscope.plugin import failing
from hopscope.plugin.failing import show
from hopscope.wire.trace import Trace
from support import golden
from support.golden_folders import SMALL


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Of golden captures with one wrong checksum, as a test has judged them."""
    chain = golden.build(SMALL)
    golden.change(chain, "server-eth0", "request", flow=1, spoil="l4")
    folder = golden.write(chain, tmp_path_factory.mktemp("run") / "capture-1")
    trace = Trace.load(folder)
    return SimpleNamespace(trace=trace, verdicts=judge_trace(trace).verdicts, directory=folder)


@pytest.fixture
def session(judged):
    test = judged.directory.parent
    return SimpleNamespace(
        directories={"t.py::a": test}, config=SimpleNamespace(rootpath=test.parent), keeps=lambda lab: False,
        run=SimpleNamespace(directory=test.parent / "a run"),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _lab(monkeypatch):
    monkeypatch.setattr(failing, "lab_of", lambda item: "chain")


ITEM = SimpleNamespace(nodeid="t.py::a")


def test_the_flow_that_failed_is_drawn_with_its_captures_and_the_commands(session, judged):
    title, told = show(session, ITEM, [SimpleNamespace(verdicts=()), judged])
    assert title == failing.TITLE
    assert "10.1.0.10:40001 > 10.1.2.10:8080" in told
    assert "\n>" in told, "the frame is marked"
    assert f"captures:       {judged.directory.parent.name}/capture-1\n" in told
    assert "hopscope report 'a run'" in told
    assert "walks in" not in told
    assert len(told.splitlines()) < 60


def test_without_a_flow_to_show_there_is_the_place_of_everything(session):
    _, told = show(session, ITEM, [])
    assert told.startswith(f"captures:       {session.directories[ITEM.nodeid].name}\n")


def test_a_lab_that_stays_is_said(session):
    session.keeps = lambda lab: lab == "chain"
    assert "the command that walks in is told at the end" in show(session, ITEM, [])[1]


def test_nothing_where_the_test_had_not_come_to_a_lab(session):
    assert show(session, SimpleNamespace(nodeid="t.py::b"), []) is None


def test_a_mistake_in_showing_costs_no_session(session, judged):
    broken = SimpleNamespace(trace=judged.trace, verdicts=None, directory=judged.directory)
    assert "Traceback" in show(session, ITEM, [broken])[1]
