"""Boxes that ended by themselves, as the run recorded it: ``{"event": "died", "host": …, "returncode": …}``."""

from __future__ import annotations

from hopscope.checks.verdict import Evidence
from hopscope.wire.trace import Trace


def died(trace: Trace) -> list[Evidence]:
    """One piece of evidence for each box that did not live until it was stopped."""
    return [
        Evidence(
            None,
            str(event.get("host") or event.get("role") or "a box"),
            (),
            "a box that runs until it is stopped",
            f"{event.get('host') or event.get('role') or 'a box'} ended by itself with {_code(event)}",
        )
        for event in trace.sut_events
        if event.get("event") == "died"
    ]


def _code(event: dict[str, object]) -> str:
    code = event.get("returncode")
    return "an unknown code" if code is None else str(code)
