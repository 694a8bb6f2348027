"""What a check says: an outcome, whose fault it is, and the frames that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

EVIDENCE_LIMIT = 20
"""A verdict keeps this many pieces of evidence; ``failed`` counts all."""


class Outcome(StrEnum):
    PASS = "PASS"  # noqa: S105  (an outcome, not a password)
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"


class Fault(StrEnum):
    """Whose fault a verdict other than PASS is."""

    PRODUCT = "product"
    ENVIRONMENT = "environment"
    HARNESS = "harness"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen.

    ``flow`` is a label such as ``10.1.0.10:40000>10.1.2.10:8080``; ``tap`` the file name of the capture; ``frames``
    the frame numbers in it, as Wireshark shows them; ``filter`` a Wireshark display filter that shows the flow.
    """

    flow: str | None
    tap: str
    frames: tuple[int, ...]
    expected: str
    seen: str
    filter: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "flow": self.flow,
            "tap": self.tap,
            "frames": list(self.frames),
            "expected": self.expected,
            "seen": self.seen,
            "filter": self.filter,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of one check about one trace.

    ``judged`` counts what could be judged (flows, or packets for the checks that judge packets), ``failed`` how many
    of them failed. ``fault`` says whose fault an outcome of FAIL is; an INCONCLUSIVE one is always the harness's.
    """

    check: str
    outcome: Outcome
    summary: str
    judged: int = 0
    failed: int = 0
    evidence: tuple[Evidence, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    fault: Fault = Fault.PRODUCT

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", tuple(self.evidence)[:EVIDENCE_LIMIT])
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))
        if self.outcome is Outcome.INCONCLUSIVE:
            object.__setattr__(self, "fault", Fault.HARNESS)

    def __reduce__(self) -> tuple[type[Verdict], tuple[Any, ...]]:
        """Verdicts come back from worker processes; a read-only view cannot be sent."""
        values = self.check, self.outcome, self.summary, self.judged, self.failed, self.evidence, dict(self.metrics)
        return Verdict, (*values, self.fault)

    @property
    def exit_code(self) -> int:
        """The code of ``hopscope.errors`` for this verdict alone."""
        if self.outcome is Outcome.FAIL:
            return {Fault.PRODUCT: 1, Fault.ENVIRONMENT: 2, Fault.HARNESS: 3}[self.fault]
        return 3 if self.outcome is Outcome.INCONCLUSIVE else 0

    def to_json(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "outcome": self.outcome.value,
            "fault": self.fault.value if self.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE) else None,
            "summary": self.summary,
            "judged": self.judged,
            "failed": self.failed,
            "evidence": [item.to_json() for item in self.evidence],
            "metrics": {key: float(value) for key, value in self.metrics.items()},
        }


def passed(check: str, summary: str, *, judged: int, metrics: Mapping[str, float] | None = None) -> Verdict:
    return Verdict(check, Outcome.PASS, summary, judged=judged, metrics=metrics or {})


def failed(
    check: str,
    summary: str,
    *,
    judged: int,
    failed: int,
    evidence: Iterable[Evidence],
    metrics: Mapping[str, float] | None = None,
    fault: Fault = Fault.PRODUCT,
) -> Verdict:
    return Verdict(check, Outcome.FAIL, summary, judged, failed, tuple(evidence), metrics or {}, fault)


def inconclusive(
    check: str,
    summary: str,
    *,
    judged: int = 0,
    evidence: Iterable[Evidence] = (),
    metrics: Mapping[str, float] | None = None,
) -> Verdict:
    return Verdict(check, Outcome.INCONCLUSIVE, summary, judged, 0, tuple(evidence), metrics or {})


def not_applicable(check: str, summary: str) -> Verdict:
    return Verdict(check, Outcome.NOT_APPLICABLE, summary)
