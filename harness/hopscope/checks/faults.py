"""What the parts of a check have found wrong: flows, counts by kind, and the first pieces of evidence."""

from __future__ import annotations

import numpy as np

from hopscope.checks.verdict import EVIDENCE_LIMIT, Evidence
from hopscope.checks.view import Ints


class Faults:
    def __init__(self, flows: int) -> None:
        self.flows = np.zeros(flows, dtype=bool)
        self.counts: dict[str, int] = {}
        self.evidence: list[Evidence] = []
        self.unseen: dict[str, int] = {}

    def add(self, kind: str, flows: Ints) -> None:
        """Count faults of a kind, one for each entry of ``flows`` (indices, repeats allowed)."""
        if len(flows):
            self.flows[flows] = True
            self.counts[kind] = self.counts.get(kind, 0) + len(flows)

    def miss(self, tap: str, number: int) -> None:
        """Count segments that a capture without proof of its wholeness seems to have missed."""
        if number:
            self.unseen[tap] = self.unseen.get(tap, 0) + number

    def show(self, evidence: Evidence) -> None:
        if not self.full:
            self.evidence.append(evidence)

    @property
    def full(self) -> bool:
        return len(self.evidence) >= EVIDENCE_LIMIT
