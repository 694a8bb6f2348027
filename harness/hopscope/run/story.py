"""What was done, in order: JSON lines beside the captures of a test, or in the folder of a lab.

A line is ``{"title", "start_ns", "stop_ns", "outcome", "facts"}``; ``outcome`` is ``passed``, or the kind of the fault
that ended the step (see ``hopscope.errors``), ``broken`` for any other exception.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hopscope.errors import HopscopeError
from hopscope.run.doing import doing

FILE = "story.jsonl"


@dataclass
class Step:
    """One step; its title and facts may be completed while it is open."""

    title: str
    start_ns: int
    stop_ns: int = 0
    outcome: str = "passed"
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def step(directory: Path, title: str, **facts: Any) -> Iterator[Step]:
    """Told when the block ends, however it ends."""
    one = Step(title, time.time_ns(), facts=facts)
    try:
        with doing(lambda: one.title):
            yield one
    except BaseException as error:
        one.outcome = error.kind if isinstance(error, HopscopeError) else "broken"
        raise
    finally:
        one.stop_ns = time.time_ns()
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / FILE).open("a") as file:
            file.write(json.dumps(asdict(one)) + "\n")


def read(directory: Path) -> list[Step]:
    """The steps told so far; lines that cannot be read are left out."""
    try:
        lines = (directory / FILE).read_text().splitlines()
    except OSError:
        return []
    return [one for line in lines if (one := _step(line)) is not None]


def _step(line: str) -> Step | None:
    try:
        return Step(**json.loads(line))
    except (ValueError, TypeError):
        return None
