"""Takes away directories when whoever made them has gone, kill -9 included. A program of its own: standard library.

    python3 -I -S sweep.py <PIPE

The pipe is the life-line. Each line that comes by it is the path of a directory; at its end all of them are removed.
Processes that still write there are on their way out: it is tried again for as long as ``SECONDS``.
"""

from __future__ import annotations

import os
import select
import shutil
import sys
import time

SECONDS = 10.0
TICK = 0.1


def main() -> None:
    paths = [line.rstrip("\n") for line in sys.stdin]
    until = time.monotonic() + SECONDS
    while paths and time.monotonic() < until:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
        paths = [path for path in paths if os.path.exists(path)]
        if paths:
            select.select([], [], [], TICK)


if __name__ == "__main__":
    main()
