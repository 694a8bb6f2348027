from __future__ import annotations

import errno
import json
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import EnvironmentFault, HarnessFault, ProductFault
from hopscope.plugin.outcomes import Outcomes, compared

SKIP = pytest.skip.Exception
CHECKS = json.dumps([{"check": "ordering", "outcome": "PASS"}])


def report(when: str, outcome: str, **properties: str) -> Any:
    return SimpleNamespace(
        when=when, failed=outcome == "failed", skipped=outcome == "skipped", user_properties=list(properties.items())
    )


@pytest.mark.parametrize(
    ("phases", "outcome", "reason"),
    [
        ([("setup", None), ("call", None), ("teardown", None)], "PASS", ""),
        ([("setup", None), ("call", ProductFault("x\ny")), ("teardown", None)], "FAIL", "x"),
        ([("setup", None), ("call", None), ("teardown", ProductFault("late"))], "FAIL", "late"),
        ([("setup", None), ("call", AssertionError("a")), ("teardown", HarnessFault("b"))], "FAIL", "a"),
        ([("setup", HarnessFault("when strict")), ("teardown", None)], "INCONCLUSIVE", "when strict"),
        ([("setup", SKIP("INCONCLUSIVE: dropped")), ("teardown", None)], "INCONCLUSIVE", "INCONCLUSIVE: dropped"),
        ([("setup", SKIP("needs a live lab")), ("teardown", None)], "SKIPPED", "needs a live lab"),
        ([("setup", SKIP("word " * 100)), ("teardown", None)], "SKIPPED", ("word " * 60)[:298] + " …"),
    ],
)
def test_the_worst_phase_is_what_a_test_comes_to(phases: list[tuple[str, Any]], outcome: str, reason: str) -> None:
    outcomes, reached = Outcomes("verdicts"), None
    outcomes.add("another", report("setup", "failed"), None)
    for when, error in phases:
        assert reached is None
        word = "passed" if error is None else "skipped" if isinstance(error, SKIP) else "failed"
        told: Any = None if error is None else SimpleNamespace(value=error)
        reached = outcomes.add("mine", report(when, word, **({"verdicts": CHECKS} if when == "call" else {})), told)
    assert reached is not None
    assert (reached["test"], reached["outcome"], reached["reason"]) == ("mine", outcome, reason)
    kinds = {"x": "product", "late": "product", "a": "product"}
    assert reached["kind"] == kinds.get(reason, "harness" if outcome == "INCONCLUSIVE" else None)
    assert reached["verdicts"] == (json.loads(CHECKS) if len(phases) == 3 else [])


@pytest.mark.parametrize(
    ("when", "error", "kind"),
    [
        ("setup", EnvironmentFault("no lab"), "environment"),
        ("setup", pytest.fail.Exception("lab could not be had before"), "environment"),
        ("call", pytest.fail.Exception("said by a test"), "product"),
        ("call", KeyError("a slip"), "test"),
        ("call", OSError(errno.ENOSPC, "No space left on device"), "environment"),
        ("call", MemoryError(), "environment"),
        ("call", OSError(errno.ENOENT, "no such file of the test's own"), "test"),
        ("setup", AssertionError("of a fixture"), "test"),
    ],
)
def test_what_was_raised_says_whose_fault_it_is(when: str, error: BaseException, kind: str) -> None:
    outcomes = Outcomes("verdicts")
    told: Any = SimpleNamespace(value=error)
    outcomes.add("mine", report("setup", "failed" if when == "setup" else "passed"), told if when == "setup" else None)
    if when == "call":
        outcomes.add("mine", report("call", "failed"), told)
    reached = outcomes.add("mine", report("teardown", "passed"), None)
    assert reached is not None
    assert (reached["outcome"], reached["kind"]) == ("FAIL", kind)


def came(test: str, outcome: str, *verdicts: tuple[str, str], reason: str = "") -> dict[str, Any]:
    told = [{"check": check, "outcome": word} for check, word in verdicts]
    return {"test": test, "outcome": outcome, "reason": reason, "verdicts": told}


def test_tests_and_checks_that_came_to_something_else_are_told() -> None:
    ordering = [("ordering", "PASS"), ("ordering", "PASS")]
    stored = {
        each["test"]: each
        for each in (
            came("same", "PASS", *ordering),
            came("worse", "PASS", *ordering),
            came("within", "FAIL", ("delivery", "FAIL")),
            came("mended", "FAIL", reason="the box died"),
            came("aside", "PASS"),
        )
    }
    now = [
        came("same", "PASS", *ordering),
        came("worse", "FAIL", ("ordering", "PASS"), ("ordering", "FAIL")),
        came("within", "FAIL", ("delivery", "INCONCLUSIVE"), ("new", "FAIL")),
        came("mended", "PASS"),
        came("aside", "SKIPPED"),
        came("unknown", "FAIL"),
    ]
    assert compared(stored, now) == [
        "5 tests judged again, 1 left out (the skips say why); 3 with another verdict:",
        "  worse: was PASS, is FAIL",
        "    ordering: was PASS, is FAIL with today's checks",
        "  within: was FAIL, is FAIL",
        "    delivery: was FAIL, is INCONCLUSIVE with today's checks",
        "  mended: was FAIL, is PASS",
        "    the box died",
    ]
    assert compared(stored, now[:1]) == [
        "1 tests judged again, 0 left out (the skips say why); every verdict as it was"
    ]
