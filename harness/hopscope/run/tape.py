"""What a test asked of its lab, call by call, so that a replay can answer in the lab's place: ``calls.jsonl``.

One JSON object for each call, in the order in which they ended: ``call`` is its name, ``fault`` what it raised. Files
that a call left are named with their seal (bytes and SHA-256), so that a replay rests on what was there, or says which
file is not as it was.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hopscope import errors
from hopscope.errors import HarnessFault, HopscopeError

CALLS = "calls.jsonl"

Seal = dict[str, Any]


class Tape:
    """Notes calls into ``directory/calls.jsonl``. Threads may note at the same time."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / CALLS
        self._lock = threading.Lock()

    def note(self, call: str, **facts: Any) -> None:
        with self._lock, self.path.open("a") as file:
            file.write(json.dumps({"call": call, **facts}) + "\n")

    @contextmanager
    def call(self, call: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Around a call: notes it when it has ended, with what the block adds to the facts and what it raised."""
        try:
            yield facts
        except HopscopeError as error:
            self.note(call, **facts, fault=fault(error))
            raise
        self.note(call, **facts)


def read(path: Path) -> list[dict[str, Any]]:
    """The calls of a test. HarnessFault, with the file, when it is damaged."""
    try:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise HarnessFault(f"{path}: cannot be read: {error}") from None
    if not all(isinstance(each, dict) and isinstance(each.get("call"), str) for each in found):
        raise HarnessFault(f"{path}: no list of calls")
    return found


def seal(path: Path) -> Seal:
    """Size and digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def check(path: Path, sealed: Mapping[str, Any]) -> None:
    """HarnessFault, naming the file, when it is not what was sealed: nothing may be concluded from it."""
    try:
        now = seal(path)
    except OSError as error:
        raise HarnessFault(f"{path} was recorded and cannot be read: {error.strerror}") from None
    if now["bytes"] != sealed.get("bytes"):
        raise HarnessFault(f"{path} is not whole: {now['bytes']} bytes, and {sealed.get('bytes')} were recorded")
    if now["sha256"] != sealed.get("sha256"):
        raise HarnessFault(f"{path} has been changed since it was recorded: its SHA-256 is another one")


def fault(error: HopscopeError) -> dict[str, Any]:
    """What an error said, for :func:`revived`."""
    return {
        "type": type(error).__name__,
        "kind": error.kind,
        "message": error.message,
        "host": error.host,
        "evidence": error.evidence,
    }


def revived(told: Mapping[str, Any]) -> HopscopeError:
    """The error that was told; of the class of its kind where its own is not one of ``hopscope.errors``."""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HopscopeError)]
    plain = [each for each in classes if each is not errors.DocumentError and each is not HopscopeError]
    named = {each.__name__: each for each in plain}
    kinds = {each.kind: each for each in reversed(plain)}
    kind = named.get(str(told.get("type"))) or kinds.get(str(told.get("kind"))) or HarnessFault
    return kind(str(told.get("message")), host=told.get("host"), evidence=told.get("evidence"))
