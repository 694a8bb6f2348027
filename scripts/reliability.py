"""Hits sessions with every fault at every phase, and writes the table in docs/reliability.md from what came of them.

    python scripts/reliability.py           # as root; about five minutes on two quiet processors
    python scripts/reliability.py --table FILE   # only writes the table, from the results of a run before

A cell that fails is written as FAILED, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
TEST = "tests/integration/test_reliability.py"
BEGIN, END = "<!-- cells: made by scripts/reliability.py -->", "<!-- end of cells -->"
PHASES = ("building", "capturing", "starting", "loading", "draining", "judging", "tearing down")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", metavar="FILE", type=Path)
    asked = parser.parse_args()
    if asked.table is not None:
        return write(asked.table)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.jsonl"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-m", "nightly or not nightly", TEST]
        environment = os.environ | {"HOPSCOPE_RELIABILITY": str(file)}
        code = subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode
        return write(file) or code


def write(file: Path) -> int:
    """Put the table into the page; 1 where a cell is missing or failed."""
    cells = {(each["fault"], each["phase"]): each["told"] for each in map(json.loads, file.read_text().splitlines())}
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table(cells)}\n{END}{tail}")
    failed = [each for each, told in cells.items() if told == "FAILED"]
    print(f"{len(cells)} cells, {len(failed)} failed; wrote {PAGE}")
    return 1 if failed or not cells else 0


def table(cells: dict[tuple[str, str], str]) -> str:
    faults = list(dict.fromkeys(fault for fault, _ in cells))
    lines = [f"| fault | {' | '.join(PHASES)} |", f"|---|{'---|' * len(PHASES)}"]
    for fault in faults:
        lines.append(f"| {fault} | {' | '.join(cells.get((fault, phase), '–') for phase in PHASES)} |")
    return f"{len(cells)} cells, Linux {platform.release()}, Python {platform.python_version()}.\n\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
