"""The side-car ``taps.json``, read and held to its form.

What makes no sense as a structure raises HarnessFault with the file and the key. What a capture's entry does not tell,
or tells unusably, becomes a doubt about that capture: it is no evidence then. Events of the system under test are
written by strangers: what cannot be read of them is left out, and said.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import HarnessFault
from hopscope.wire.taps import TapHealth

NAME = "taps.json"

_TEXTS = ("role", "host", "interface", "mac")
_COUNTERS = ("captured", "received", "dropped")
_TIMES = ("live_ns", "end_ns")
_NUMBERS = ("time_ns", "isn", "seq", "sent_client", "sent_server", "syn_answered", "lingering")
"""Of an event; ``flows`` is a number or, where a box says for what it is there, a list."""

_MOST = 2**63 - 1


@dataclass(frozen=True)
class Sidecar:
    """What the side-car says; empty where there is none."""

    taps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By file name. Entries are objects whose texts are texts and whose times are finite."""
    links: tuple[tuple[str, str], ...] = ()
    same_clock: bool = False
    rtt_ns: int | None = None
    events: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def read(path: Path) -> Sidecar:
    """Read a side-car, or none. Raises HarnessFault, naming the key, when it is no side-car of captures."""
    if not path.exists():
        return Sidecar()
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessFault(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("taps") or {}, dict):
        raise HarnessFault(f"{path}: not a side-car of captures: an object with an object `taps` is wanted")
    taps = {name: _entry(path, name, entry) for name, entry in (content.get("taps") or {}).items()}
    same = content.get("same_clock")
    if not isinstance(same, bool | None):
        raise _nonsense(path, "same_clock", same, "true or false")
    events, notes = _events(path, content.get("sut"))
    return Sidecar(
        taps, _links(path, content.get("links")), bool(same), _rtt(path, content.get("rtt_ns")), events, notes
    )  # fmt: skip


def health(entry: Mapping[str, Any]) -> tuple[TapHealth | None, tuple[str, ...]]:
    """What an entry tells of its capture, and why it is no evidence. Both are empty where it tells nothing at all."""
    doubts = [str(entry["problem"])] if entry.get("problem") else []
    if not any(key in entry for key in (*_COUNTERS, *_TIMES)):
        return None, tuple(doubts)
    live, end = (_time(entry.get(key)) for key in _TIMES)
    if live is None:
        doubts.append("since when it was live is not told")
    counts = [entry.get(key) for key in _COUNTERS]
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in counts):
        told = ", ".join(f"{key} {json.dumps(value)}" for key, value in zip(_COUNTERS, counts, strict=True))
        return None, (*doubts, f"no usable counters: {told}")
    captured, received, dropped = (int(value) for value in counts if value is not None)
    return TapHealth(captured, received, dropped, live, end, bool(entry.get("offloads"))), tuple(doubts)


def mac(entry: Mapping[str, Any]) -> int | None:
    """Address of the port, 48 bits, where it is told."""
    text = str(entry.get("mac") or "").replace(":", "").replace("-", "")
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]{12}", text) else None


def clock_error(entry: Mapping[str, Any]) -> int | None:
    """What the host says of its own clock, ns; None where it says nothing."""
    value = entry.get("clock_error_ns")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def _entry(path: Path, name: str, entry: object) -> Mapping[str, Any]:
    key = f"taps.{name}"
    if entry is None:
        return {}
    if not isinstance(entry, dict):
        raise _nonsense(path, key, entry, "an object")
    for text in _TEXTS:
        if not isinstance(entry.get(text), str | None):
            raise _nonsense(path, f"{key}.{text}", entry[text], "a text")
    for time in _TIMES:
        if _is_number(entry.get(time)) and not _in_range(entry[time]):
            raise _nonsense(path, f"{key}.{time}", entry[time], "nanoseconds")
    return entry


def _links(path: Path, links: object) -> tuple[tuple[str, str], ...]:
    if links is None:
        return ()
    if not isinstance(links, list):
        raise _nonsense(path, "links", links, "a list of pairs of ports")
    for link in links:
        if not (isinstance(link, list) and len(link) == 2 and all(isinstance(end, str) for end in link)):
            raise _nonsense(path, "links", link, "pairs of ports")
    return tuple((near, far) for near, far in links)


def _rtt(path: Path, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not _in_range(value) or value < 0:
        raise _nonsense(path, "rtt_ns", value, "nanoseconds")
    return int(value)


def _events(path: Path, sut: object) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Events as a list of objects, or an object of such lists by host; and what was left out of them."""
    if not isinstance(sut, list | dict | None):
        raise _nonsense(path, "sut", sut, "a list of events, or such lists by host")
    kept: list[dict[str, Any]] = []
    left: list[str] = []
    for event in _flat(sut):
        if not isinstance(event, dict):
            left.append(f"{_short(event)} is no object")
            continue
        wrong = [key for key in _NUMBERS if key in event and not (_is_number(event[key]) and _in_range(event[key]))]
        wrong += ["flows"] if "flows" in event and not _flows(event) else []
        if wrong and event.get("event") != "died":
            left.append(f"{wrong[0]} {_short(event[wrong[0]])}")
            continue
        numbers = {key: int(event[key]) for key in (*_NUMBERS, "flows") if _is_number(event.get(key))}
        kept.append({key: value for key, value in (event | numbers).items() if key not in wrong})
    if not left:
        return tuple(kept), ()
    told = f"{len(left)} event{'s' * (len(left) > 1)} of the system under test left out: {left[0]}"
    return tuple(kept), (f"{path.name}: {told}",)


def _flat(sut: object) -> Iterable[object]:
    if isinstance(sut, dict):
        for host, events in sut.items():
            for event in _flat(events if isinstance(events, list | dict) else [events]):
                yield {"host": host, **event} if isinstance(event, dict) else event
    elif isinstance(sut, list):
        yield from sut


def _flows(event: Mapping[str, Any]) -> bool:
    value = event["flows"]
    if isinstance(value, list):
        return event.get("event") != "counters"
    return _is_number(value) and _in_range(value) and value >= 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_range(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _MOST


def _time(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nonsense(path: Path, key: str, value: object, wanted: str) -> HarnessFault:
    return HarnessFault(f"{path}: {key}: {wanted} wanted, not {_short(value)}")
