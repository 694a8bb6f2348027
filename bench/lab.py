"""How long a lab takes to come up and to go: ``python bench/lab.py [--quick]``."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import report
from hopscope import data
from hopscope.model.document import load_topology
from hopscope.providers.netns import NetnsProvider


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    repetitions = 5 if parser.parse_args().quick else 20
    topology = load_topology(data.path("topologies/chain.yaml"))
    provider = NetnsProvider()
    up, down = [], []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(repetitions):
            start = time.perf_counter()
            lab = provider.acquire(topology, directory=Path(directory))
            built = time.perf_counter()
            provider.release(lab)
            up.append(built - start)
            down.append(time.perf_counter() - built)
    report.line("up_s", "netns chain", up, "s")
    report.line("down_s", "netns chain", down, "s")


if __name__ == "__main__":
    main()
