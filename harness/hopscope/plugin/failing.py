"""What a failed test shows in the terminal beside its error: the flow as a ladder, where the captures are, and what to
type next."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hopscope.plugin.ahead import lab_of

if TYPE_CHECKING:
    from hopscope.plugin.session import Session

TITLE = "hopscope: the flow, its captures, what to do next"
MOST_ROWS = 36
"""Of a ladder; the whole is in the report."""


def show(session: Session, item: pytest.Item, judged: Iterable[Any]) -> tuple[str, str] | None:
    """A section of the report of a test that has failed; None where it had not come to a lab."""
    directory = session.directories.get(item.nodeid)
    if directory is None:
        return None
    try:
        return TITLE, "\n".join(lines(directory, judged, session, item))
    except Exception:  # a mistake here must not cost the session its other tests
        return TITLE, traceback.format_exc()


def lines(directory: Path, judged: Iterable[Any], session: Session, item: pytest.Item) -> Iterator[str]:
    """The first flow that a failed verdict names, with its captures; then the commands."""
    place = directory
    for each in judged:
        drawn = _ladder(each)
        if drawn is not None:
            place = each.directory
            yield from (drawn, "")
            break
    yield f"captures:       {_relative(place, session)}"
    yield f"judge it again: {shlex.join(['hopscope', 'judge', _relative(place, session)])}"
    yield f"as a page:      {shlex.join(['hopscope', 'report', _relative(session.run.directory, session)])}"
    if session.keeps(lab_of(item)):
        yield "its lab stays:  the command that walks in is told at the end"


def _ladder(judged: Any) -> str | None:
    """Nothing of what was judged in a tunnel, which has no flows, or of verdicts that name none."""
    from hopscope.report.flows import first_failing

    trace = getattr(judged, "trace", None)
    return None if trace is None else first_failing(trace, judged.verdicts, max_rows=MOST_ROWS)


def _relative(path: Path, session: Session) -> str:
    root = session.config.rootpath
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
