"""What a machine has done, as the events report it."""

from __future__ import annotations

from typing import Any, Dict


class Counters:
    """Plain integers, and dropped segments by reason."""

    __slots__ = (
        "acks_probed",
        "dropped",
        "duplicate_syn",
        "duplicate_synack",
        "evicted",
        "expired",
        "gave_up",
        "held",
        "passed",
        "refused",
        "released",
        "syn_answered",
        "syn_forwarded",
        "syn_retransmitted",
        "synack_learnt",
        "translated",
    )

    acks_probed: int
    duplicate_syn: int
    duplicate_synack: int
    evicted: int
    expired: int
    gave_up: int
    held: int
    passed: int
    refused: int
    released: int
    syn_answered: int
    syn_forwarded: int
    syn_retransmitted: int
    synack_learnt: int
    translated: int

    def __init__(self) -> None:
        for name in Counters.__slots__:
            setattr(self, name, 0)
        self.dropped: Dict[str, int] = {}

    def drop(self, reason: str) -> None:
        """One more segment dropped for `reason`."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def snapshot(self) -> Dict[str, Any]:
        """A copy that does not change any more."""
        values = {name: getattr(self, name) for name in Counters.__slots__}
        values["dropped"] = dict(self.dropped)
        return values
