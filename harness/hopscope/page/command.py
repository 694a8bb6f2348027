"""``hopscope report RUN``: the page of a run, written beside what it is rendered from."""

from __future__ import annotations

import argparse
from pathlib import Path

from hopscope.errors import UsageError
from hopscope.page.whole import page
from hopscope.report.judgement import named

FILE = "report.html"


def command(arguments: argparse.Namespace) -> int:
    run = named(Path(arguments.run))
    out = Path(arguments.output) if arguments.output else run / FILE
    text = page(run)
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_text(text, errors="replace")
        part.replace(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; name another file with --output") from None
    print(out)
    return 0
