"""What is, against what should be: pure. One line for each fact, with the effect and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from hopscope.aws.desired import EXISTS, Fact

MISSING = "missing"
MANUAL = {
    ("instance", EXISTS): "end the instance, and call repair: it is made anew",
    ("instance", "interfaces"): "end the instance, and call repair: it is made anew with the right interfaces",
    ("subnet", EXISTS): "take the stack down and build it: a subnet's range cannot be changed",
    ("vpc", EXISTS): "take the stack down and build it: a VPC's range cannot be changed",
    ("endpoint", EXISTS): "delete the endpoint, and call repair: it is made anew",
    ("eni", EXISTS): "take the stack down and build it: an interface's subnet cannot be changed",
}
"""What is there and wrong, and cannot be changed as it is."""


class Status(StrEnum):
    OK = "OK"
    DRIFT = "DRIFT"
    FIXED = "FIXED"
    MANUAL = "MANUAL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Line:
    """``seen`` is what is there now, after a repair too; ``remedy`` what a person has to do where we cannot."""

    status: Status
    key: str
    aspect: str
    wanted: str
    seen: str
    effect: str
    remedy: str = ""

    def __str__(self) -> str:
        head = f"{self.status:7} {self.key}: {self.aspect}"
        if self.status is Status.OK:
            return f"{head} = {self.seen}"
        if self.status is Status.FIXED:
            return f"{head} = {self.seen}"
        told = f"{head} is {self.seen}, should be {self.wanted}; effect: {self.effect}"
        return f"{told}; remedy: {self.remedy}" if self.remedy else told

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Actual:
    """What was found. ``ids`` are names in AWS by our keys, ``seen`` values by key and aspect, ``owned`` the keys of
    what carries our tag, ``unknown`` why a kind of things, or one of them, could not be looked at."""

    ids: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[tuple[str, str], str] = field(default_factory=dict)
    owned: frozenset[str] = frozenset()
    unknown: Mapping[str, str] = field(default_factory=dict)
    stale: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What stands in the way of a wanted value: the rule or the row that has to go first."""


def audit(facts: Iterable[Fact], actual: Actual) -> tuple[Line, ...]:
    return tuple(_line(fact, actual) for fact in facts)


def _line(fact: Fact, actual: Actual) -> Line:
    given = (fact.key, fact.aspect, fact.wanted)
    why = actual.unknown.get(fact.kind) or actual.unknown.get(fact.key)
    if why is not None:
        return Line(Status.UNKNOWN, *given, "not to be seen", fact.effect, why)
    seen = actual.seen.get((fact.key, fact.aspect), MISSING)
    if seen == fact.wanted:
        return Line(Status.OK, *given, seen, fact.effect)
    remedy = MANUAL.get((fact.kind, fact.aspect), "") if seen != MISSING else ""
    return Line(Status.MANUAL if remedy else Status.DRIFT, *given, seen, fact.effect, remedy)


def after_repair(before: Iterable[Line], now: Iterable[Line]) -> tuple[Line, ...]:
    """The lines read back: what had drifted and is right now is FIXED."""
    drifted = {(line.key, line.aspect) for line in before if line.status is not Status.OK}
    return tuple(
        Line(Status.FIXED, *_rest(line)) if line.status is Status.OK and (line.key, line.aspect) in drifted else line
        for line in now
    )


def _rest(line: Line) -> tuple[str, str, str, str, str]:
    return line.key, line.aspect, line.wanted, line.seen, line.effect


def summary(lines: Iterable[Line]) -> str:
    """``31 OK, 2 DRIFT``: what there is of each status."""
    counts = dict.fromkeys(Status, 0)
    for line in lines:
        counts[line.status] += 1
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)
