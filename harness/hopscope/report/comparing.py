"""``hopscope compare RUN RUN…``, with or without a history file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from hopscope.errors import UsageError
from hopscope.report.digest import Digest, digest, parsed
from hopscope.report.judgement import named
from hopscope.report.over_time import Change, changes, markdown, text


def command(arguments: argparse.Namespace) -> int:
    found = [digest(named(Path(run))) for run in arguments.runs]
    if arguments.history is not None:
        found = _with_history(Path(arguments.history), found)
    if len({each.run for each in found}) < 2:
        if arguments.history is None:
            raise UsageError("one run alone cannot be compared: name another, or a --history that has one")
        print("[]" if arguments.json else f"{found[0].run} is the first of {arguments.history}")
        return 0
    told = changes(found)
    if arguments.json:
        print(json.dumps([_document(each) for each in told]))
        return 0
    print("\n\n".join(markdown(each) if arguments.markdown else text(each) for each in told))
    return 0


def _document(change: Change) -> dict[str, object]:
    return {
        "before": change.before.run,
        "now": change.now.run,
        "budgets": [
            {"budget": name, "before": asdict(was), "now": asdict(value), "moved": word or None}
            for name, was, value, word in change.budgets
        ],
        "tests": [dict(zip(("test", "before", "now"), each, strict=True)) for each in change.tests],
        "context": [dict(zip(("what", "before", "now"), each, strict=True)) for each in change.context],
    }


def _with_history(path: Path, found: list[Digest]) -> list[Digest]:
    """The runs, behind the newest of the history that is none of them; those that it lacks are added to it."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    kept = [each for line in lines if (each := parsed(line)) is not None]
    new = [each for each in found if each.run not in {one.run for one in kept}]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(f"{each.line()}\n" for each in new)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    earliest = min(each.started_ns for each in found)
    before = [each for each in kept if each.started_ns < earliest and each.run not in {one.run for one in found}]
    return [*sorted(before, key=lambda each: each.started_ns)[-1:], *found]
