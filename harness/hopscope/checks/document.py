"""JSON Schema (draft 2020-12) of what ``hopscope judge --json`` prints: ``Judgement.to_json()`` and what goes with it.

A consumer may rely on every key that is required here. Objects are open: later versions may add keys.
"""

from __future__ import annotations

from typing import Any

from hopscope.checks.judge import SCHEMA
from hopscope.checks.verdict import EVIDENCE_LIMIT, Fault, Outcome
from hopscope.wire.trace import PLACEMENTS

_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": ["number", "null"], "description": "ns; null where it is not known"}
_METRICS = {"type": "object", "additionalProperties": {"type": "number"}}


def judgement() -> dict[str, Any]:
    """The schema of one judgement, or of the list of them that a folder of folders gives."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hopscope judgement",
        "anyOf": [{"$ref": "#/$defs/Judgement"}, {"type": "array", "items": {"$ref": "#/$defs/Judgement"}}],
        "$defs": {
            "Judgement": _judgement(),
            "Tap": _tap(),
            "Verdict": _verdict(),
            "Evidence": _evidence(),
            "Latency": _latency(),
            "Observation": _observation(),
            "Flow": _flow(),
        },
    }


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def _list(of: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/$defs/{of}"}}


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


def _one_of(values: Any) -> dict[str, Any]:
    return {"enum": [str(each) for each in values]}


def _judgement() -> dict[str, Any]:
    placements = [each.value for each in PLACEMENTS]
    return _object(
        {
            "folder": _TEXT,
            "schema": {"const": SCHEMA},
            "source": _TEXT,
            "claim": _or_null(_TEXT) | {"description": "placement that was claimed"},
            "outcome": _one_of(Outcome),
            "exit_code": {"enum": [0, 1, 2, 3]},
            "taps": _list("Tap"),
            "flows": _COUNT,
            "whole": _COUNT | {"description": "flows that lie within the captures"},
            "placements": {"type": "object", "propertyNames": {"enum": placements}, "additionalProperties": _COUNT},
            "verdicts": _list("Verdict"),
            "latencies": _list("Latency"),
            "observations": _list("Observation"),
            "rtt_ns": {"type": ["integer", "null"], "description": "achieved idle round trip"},
            "notes": {"type": "array", "items": _TEXT},
        },
        {
            "subject": _TEXT | {"description": "what was judged where it is no chain"},
            "flows_listed": _list("Flow") | {"description": "with --top"},
        },
    )


def _tap() -> dict[str, Any]:
    return _object(
        {
            "file": _TEXT,
            "position": _TEXT,
            "packets": _COUNT,
            "healthy": {"type": ["boolean", "null"], "description": "null: nothing tells"},
        }
    )


def _verdict() -> dict[str, Any]:
    return _object(
        {
            "check": _TEXT,
            "outcome": _one_of(Outcome),
            "fault": _or_null(_one_of(Fault)) | {"description": "whose it is; null unless FAIL or INCONCLUSIVE"},
            "summary": _TEXT,
            "judged": _COUNT,
            "failed": _COUNT,
            "evidence": _list("Evidence") | {"maxItems": EVIDENCE_LIMIT},
            "metrics": _METRICS,
        }
    )


def _evidence() -> dict[str, Any]:
    return _object(
        {
            "flow": _or_null(_TEXT),
            "tap": _TEXT,
            "frames": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "expected": _TEXT,
            "seen": _TEXT,
            "filter": _or_null(_TEXT) | {"description": "a Wireshark display filter"},
        }
    )


def _latency() -> dict[str, Any]:
    times = dict.fromkeys(("p50_ns", "p50_low_ns", "p50_high_ns", "p99_ns"), _TIME)
    return _object({"metric": _TEXT, "placement": _TEXT, "n": _COUNT, "absent": _COUNT, **times})


def _observation() -> dict[str, Any]:
    return _object({"name": _TEXT, "told": _TEXT, "metrics": _METRICS})


def _flow() -> dict[str, Any]:
    """What ``checks.flowtable`` tells of a flow; what a flow does not show is left out."""
    times = ("ttfb", "send_unlock", "fct", "server_gap", "handshake", "first_up", "first_down")
    counts = ("packets", "bytes", "repeats")
    split = ("bytes", "repeats", "out_of_order")
    ways = [f"{name}_{way}" for name in split for way in ("up", "down")]
    return _object(
        {"flow": _TEXT, "number": {"type": "integer", "minimum": 1}, "placement": _TEXT, "whole": _TRUTH}
        | dict.fromkeys((*counts, *ways, "dsacks", "zero_windows"), _COUNT)
        | dict.fromkeys(("fin_up", "fin_down", "rst"), _TRUTH),
        {f"{name}_ns": {"type": "number"} for name in times},
    )
