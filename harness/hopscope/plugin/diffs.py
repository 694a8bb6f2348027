"""What differs, field by field, where an assertion compares verdicts, traffic reports or flows."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

SHOWN = 12
"""Differing fields, or connections, that are shown."""


def explain(op: str, left: object, right: object) -> list[str] | None:
    """Lines for pytest, or None for what is none of ours."""
    if op != "==" or type(left) is not type(right):
        return None
    one, other = _describe(left), _describe(right)
    if one is None or other is None:
        return None
    lines = _differences(one, other)
    head = f"{type(left).__name__} differs in {len(lines)} field{'s' if len(lines) != 1 else ''}:"
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [head, *lines[:SHOWN], *more]


def _describe(value: object) -> Mapping[str, Any] | None:
    """Only classes whose module has been imported can be what was compared: nothing is imported for this."""
    for module, name, describe in _KINDS:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(value, kind):
            return describe(value)
    return None


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*left, *right])
    width = max((len(key) for key in keys), default=0)
    return [
        f"  {key.ljust(width)}  {left.get(key, 'absent')!s} != {right.get(key, 'absent')!s}"
        for key in keys
        if left.get(key) != right.get(key)
    ]


def _verdict(verdict: Any) -> dict[str, Any]:
    plain: dict[str, Any] = verdict.to_json()
    evidence = plain.pop("evidence")
    metrics = plain.pop("metrics")
    shown = {f"evidence {number}": _evidence(each) for number, each in enumerate(evidence, 1)}
    return plain | {f"metric {name}": value for name, value in metrics.items()} | shown


def _evidence(item: Mapping[str, Any]) -> str:
    frames = ", ".join(map(str, item["frames"])) or "-"
    return f"{item['flow'] or '-'} at {item['tap']} frame {frames}: expected {item['expected']}, seen {item['seen']}"


def _report(report: Any) -> dict[str, Any]:
    shown: dict[str, Any] = report.summary()
    connections = {
        f"connection {each.index}": f"{each.outcome}, {each.bytes} bytes{f' ({each.error})' if each.error else ''}"
        for each in report.connections
    }
    return shown | connections


def _flow(flow: Any) -> dict[str, Any]:
    fields = ("generation", "client_isn", "real_isn", "spoofed_isn", "answered_isn", "stamp", "delta", "ts_delta")
    more = ("placement", "translator", "whole")
    seen = {f"packets at {position}": len(flow.rows(position)) for position in flow.trace.taps}
    return {"label": flow.label} | {name: getattr(flow, name) for name in (*fields, *more)} | seen


_KINDS = (
    ("hopscope.checks.verdict", "Verdict", _verdict),
    ("hopscope.traffic.report", "TrafficReport", _report),
    ("hopscope.wire.trace", "Flow", _flow),
)
