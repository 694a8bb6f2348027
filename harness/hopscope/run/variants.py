"""Which stretches of a window ran which system: the blocks of a comparison, from what its test asked of the lab."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hopscope.errors import HarnessFault
from hopscope.run import tape

Spans = dict[str, list[tuple[int, int]]]


def blocks(directory: Path) -> Spans:
    """By variant, spans [start, end) in ns on the client's clock; empty where the test compared nothing, or where what
    it asked cannot be read."""
    path = directory / tape.CALLS
    try:
        return spans(tape.read(path)) if path.is_file() else {}
    except HarnessFault:
        return {}


def spans(calls: Iterable[Mapping[str, Any]]) -> Spans:
    """A block lies between two moments that were noted while one system ran, with a load between them."""
    found: Spans = {}
    variant, start, loaded = None, None, False
    for call in calls:
        if call["call"] == "start_sut":
            variant, start, loaded = call.get("sut"), None, False
        elif call["call"] == "connections":
            loaded = True
        elif call["call"] == "moment" and variant is not None:
            if start is not None and loaded:
                found.setdefault(variant, []).append((start, int(call["time_ns"])))
                start = None
            else:
                start, loaded = int(call["time_ns"]), False
    return found
