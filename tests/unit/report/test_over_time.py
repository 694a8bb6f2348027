"""Runs against each other: what moved, what had changed, and the history that remembers runs that are gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from hopscope import cli
from hopscope.report.digest import Digest, Value, digest, parsed
from hopscope.report.over_time import Change, changes, markdown, text
from hopscope.run.rundir import write_json
from support import runs


def value(middle, spread=0.1, **more):
    return Value(middle, middle - spread, middle + spread, **{"unit": "ms", "larger": False, "outcome": "PASS", **more})


OLD = Digest("a", 1, {"kernel": "6.1"}, {"t": "PASS"}, {"t: ttfb": value(20.0)})


@pytest.mark.parametrize(
    ("was", "now", "word"),
    [
        (value(20.0), value(20.1), ""),  # intervals that touch say nothing
        (value(20.0), value(20.3), "worse"),
        (value(20.3), value(20.0), "better"),
        (value(20.0, larger=True), value(19.0, larger=True), "worse"),
        (value(19.0, larger=True), value(20.0, larger=True), "better"),
        (value(20.0), value(9.0, 100.0), ""),
    ],
)
def test_a_budget_has_moved_where_the_intervals_do_not_touch(was, now, word):
    change = Change(replace(OLD, budgets={"b": was}), replace(OLD, run="b", budgets={"b": now}))
    assert [each[3] for each in change.budgets] == [word]


def test_what_is_worse_comes_first_with_its_interval_and_what_had_changed():
    now = Digest(
        "b", 2, {"kernel": "6.2", "setting of chain, client: mtu": "1400"}, {"t": "FAIL"},
        {"u: fct": value(5.0), "t: ttfb": value(30.0)},
    )  # fmt: skip
    before = replace(OLD, budgets={**OLD.budgets, "u: fct": value(5.0)})
    told = text(Change(before, now))
    assert told.splitlines()[0] == "b against a: 1 worse, 1 test newly failing"
    assert "20.000 ms (19.900 .. 20.100)" in told
    assert told.index("t: ttfb") < told.index("u: fct")
    assert told.index("kernel: was 6.1, is 6.2") < told.index("setting of chain, client: mtu: was -, is 1400")
    assert "t: was PASS, is FAIL" in told


def test_nothing_moved_is_said():
    assert "no budget has moved beyond its interval" in text(Change(OLD, replace(OLD, run="b")))
    assert "nothing that the runs know of" in text(Change(OLD, replace(OLD, run="b")))


def test_markdown_has_no_markup_of_a_name():
    hostile = "t[a|b<script>`x`*]"
    change = Change(OLD, Digest("b", 2, {}, {hostile: "FAIL"}, {"t: ttfb": value(30.0)}))
    told = markdown(change)
    assert "| **worse** |" in told
    row = next(line for line in told.splitlines() if "script" in line)
    assert "<script" not in row
    assert row.count("|") - row.count("\\|") == 4


def test_many_settings_are_counted():
    now = replace(OLD, run="b", context={f"setting {n:03}": "1" for n in range(60)})
    assert "21 more" in text(Change(OLD, now))


def test_each_run_is_held_against_the_one_before_it():
    found = changes([replace(OLD, run="c", started_ns=3), OLD, replace(OLD, run="b", started_ns=2)])
    assert [(each.before.run, each.now.run) for each in found] == [("a", "b"), ("b", "c")]


def test_a_digest_comes_back_from_its_line_and_what_is_none_does_not():
    assert parsed(OLD.line()) == OLD
    for line in ("", "{}", "[1]", '{"run": "x"', json.dumps({"run": "a", "started_ns": 1, "budgets": [1]})):
        assert parsed(line) is None


@pytest.fixture
def run(tmp_path):
    case = runs.case(tmp_path)
    metrics = {"value_ns": 20.9e6, "low_ns": 20.8e6, "high_ns": 21.0e6, "limit_ns": 1e9, "n": 500}
    write_json(case.directory / "verdicts.json", [{"check": "budget ttfb p50", "outcome": "PASS", "metrics": metrics}])
    return runs.ended(case, "PASS")


@pytest.fixture
def later(run):
    """The same run a day later, by another version, on another kernel, and slower."""
    beside = run.with_name("20991231T000000-abcdef")
    shutil.copytree(run, beside)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"run": beside.name, "started_ns": manifest["started_ns"] + 10**14, "hopscope": "0.2.0"}
    manifest["labs"][0]["settings"][0]["seen"] = "0"
    write_json(beside / "manifest.json", manifest)
    told = next(beside.glob("tests/*/verdicts.json"))
    told.write_text(told.read_text().replace("20900000", "30900000").replace("20800000", "30800000").replace(
        "21000000", "31000000"))  # fmt: skip
    return beside


def test_a_digest_has_budgets_outcomes_and_what_may_explain_a_change(run):
    found = digest(run)
    test = "tests/integration/test_x.py::test_x"
    assert found.outcomes == {test: "PASS"}
    assert found.budgets == {f"{test}: budget ttfb p50": Value(20.9, 20.8, 21.0, "ms", False, "PASS")}
    assert found.context["setting of chain, client: sysctl net.ipv4.ip_forward"] == "1"
    assert found.context["hopscope"] == "0.1.0"


def test_the_command_names_what_got_worse_and_what_had_changed(run, later, capsys):
    assert cli.main(["compare", str(run), str(later)]) == 0
    told = capsys.readouterr().out
    assert "1 worse" in told.splitlines()[0]
    assert "30.900 ms (30.800 .. 31.000)" in told
    assert "hopscope: was 0.1.0, is 0.2.0" in told
    assert "sysctl net.ipv4.ip_forward: was 1, is 0" in told
    assert cli.main(["compare", str(run), str(later), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["budgets"][0]["moved"] == "worse"


def test_a_history_remembers_a_run_that_is_gone(run, later, tmp_path, capsys):
    history = tmp_path / "kept" / "history.jsonl"
    assert cli.main(["compare", str(run), "--history", str(history)]) == 0
    assert "is the first of" in capsys.readouterr().out
    shutil.rmtree(run)
    assert cli.main(["compare", str(later), "--history", str(history), "--markdown"]) == 0
    assert "**worse**" in capsys.readouterr().out
    assert cli.main(["compare", str(later), "--history", str(history)]) == 0
    assert len(history.read_text().splitlines()) == 2, "each run once"


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert cli.main(["compare", str(tmp_path), str(tmp_path)]) == 64
    assert "no run directory" in capsys.readouterr().err


def test_one_run_alone_is_refused(run, capsys):
    assert cli.main(["compare", str(run)]) == 64
    assert "one run alone" in capsys.readouterr().err
