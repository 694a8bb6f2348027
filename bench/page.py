"""The page of a run of 2,000 flows: ``hopscope report``, exec to exit, and how large it is.

python bench/page.py [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from report import line

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import golden, stored_runs
from support.golden_folders import SMALL

FLOWS = 2000
TIMEOUT_S = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repetitions = 3 if parser.parse_args().quick else 9
    with tempfile.TemporaryDirectory(prefix="hopscope-bench-") as place:
        run = stored(Path(place))
        taken = []
        for _ in range(repetitions):
            began = time.perf_counter()
            command = [sys.executable, "-m", "hopscope", "report", str(run)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
            taken.append(time.perf_counter() - began)
        line("page_2000_flows", "wall", taken, "s")
        line("page_2000_flows", "size", [(run / "report.html").stat().st_size / 1e6], "MB")


def stored(place: Path) -> Path:
    """A run of one test, whose window holds the flows."""
    builder = stored_runs.StoredRunBuilder(place)
    test = builder.test("tests/test_it.py::test_it")
    test.open("stamp", golden.build(replace(SMALL, placement="stamp", flows=FLOWS, spacing_ms=1.0)))
    builder.add(test)
    return builder.finish()


if __name__ == "__main__":
    main()
