"""What each test on a lab came to, in one word and by its checks: kept in the run, and held against a stored run's.

A test's outcome is FAIL, INCONCLUSIVE (also where that failed it, with ``--lab-strict``), PASS or SKIPPED.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault, HarnessFault, HopscopeError, ProductFault

OUTCOME = "hopscope.outcome"
"""Name under which the outcome travels in ``user_properties`` of the last report of a test."""

_WORST = ("FAIL", "INCONCLUSIVE", "SKIPPED", "PASS")
_REASON_LENGTH = 300
#: What Python raises where the machine has no more of something.
_EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


class Outcomes:
    """Adds up the reports of a test: set-up, call, tear-down."""

    def __init__(self, verdicts: str) -> None:
        """``verdicts``: the name of the property that has them."""
        self._verdicts = verdicts
        self._outcome, self._reason = "PASS", ""
        self._kind: str | None = None
        self._checks: list[dict[str, str]] = []

    def add(
        self, nodeid: str, report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None
    ) -> dict[str, Any] | None:
        """The test's outcome with the last of its reports, None before."""
        if report.when == "setup":
            self._outcome, self._reason, self._kind, self._checks = "PASS", "", None, []
        outcome = _outcome(report, error)
        if _WORST.index(outcome) < _WORST.index(self._outcome):
            self._outcome = outcome
            self._kind = _kind(outcome, report, error)
            self._reason = "" if error is None else _first_line(str(error.value))
        for name, value in report.user_properties:
            if name == self._verdicts and report.when == "call":
                self._checks = json.loads(str(value))
        if report.when != "teardown":
            return None
        told = {"test": nodeid, "outcome": self._outcome, "kind": self._kind, "reason": self._reason}
        return {**told, "verdicts": self._checks}


def _kind(outcome: str, report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None) -> str | None:
    """Whose fault it is that a test did not pass, by what was raised; None where nothing did."""
    if outcome in ("PASS", "SKIPPED") or error is None:
        return None
    if outcome == "INCONCLUSIVE":
        return HarnessFault.kind
    if isinstance(error.value, HopscopeError):
        return error.value.kind
    if isinstance(error.value, MemoryError) or getattr(error.value, "errno", None) in _EXHAUSTED:
        return EnvironmentFault.kind
    if report.when == "setup" and isinstance(error.value, pytest.fail.Exception):
        return EnvironmentFault.kind
    said = report.when == "call" and isinstance(error.value, AssertionError | pytest.fail.Exception)
    return ProductFault.kind if said else "test"


def _outcome(report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None) -> str:
    if error is not None and isinstance(error.value, HarnessFault):
        return "INCONCLUSIVE"
    if report.failed:
        return "FAIL"
    if report.skipped:
        told = str(error.value) if error is not None else ""
        return "INCONCLUSIVE" if told.startswith("INCONCLUSIVE") else "SKIPPED"
    return "PASS"


def compared(stored: Mapping[str, Mapping[str, Any]], now: Iterable[Mapping[str, Any]]) -> list[str]:
    """What today's checks say of a stored run, in lines: how many tests were judged, and those that changed."""
    outcomes = list(now)
    judged = [each for each in outcomes if each["outcome"] != "SKIPPED"]
    lines: list[str] = []
    changed = 0
    for each in judged:
        was = stored.get(each["test"])
        if was is None:
            continue
        checks = _changes(was["verdicts"], each["verdicts"])
        if was["outcome"] == each["outcome"] and not checks:
            continue
        changed += 1
        lines.append(f"  {each['test']}: was {was['outcome']}, is {each['outcome']}")
        lines += [f"    {check}" for check in checks]
        if was["outcome"] != each["outcome"] and not checks and (reason := each["reason"] or was["reason"]):
            lines.append(f"    {reason}")
    aside = len(outcomes) - len(judged)
    head = f"{len(judged)} tests judged again, {aside} left out (the skips say why); "
    return [head + (f"{changed} with another verdict:" if changed else "every verdict as it was"), *lines]


def _changes(was: Iterable[Mapping[str, str]], now: Iterable[Mapping[str, str]]) -> list[str]:
    """Checks that came to something else, each at its first difference, in the order of the test's judging."""
    before, after = _by_check(was), _by_check(now)
    found = []
    for check, outcomes in after.items():
        pairs = zip(before.get(check, []), outcomes, strict=False)
        first = next(((one, other) for one, other in pairs if one != other), None)
        if first is not None:
            found.append(f"{check}: was {first[0]}, is {first[1]} with today's checks")
    return found


def _by_check(verdicts: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in verdicts:
        found.setdefault(each["check"], []).append(each["outcome"])
    return found


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= _REASON_LENGTH else f"{line[: _REASON_LENGTH - 2]} …"
