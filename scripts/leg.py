"""One leg of the matrix in .github/legs.toml, here or on a runner; nothing but the standard library is needed.

    python scripts/leg.py list [GROUP…]     # as `legs=[…]`, which a workflow appends to its outputs
    python scripts/leg.py run NAME          # runs it here, with the Python that `python3` is; its exit code is ours
    python scripts/leg.py run NAME TEST…    # the same leg, of these files or folders of its tests alone

Exit codes of its own: 64 for a name that there is not, and for tests of a leg that runs all of them.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".github" / "legs.toml"
OTHER = {"stamp": "hold", "hold": "stamp"}
GRACE = 15
"""Minutes that a job has beside its leg: to set up its runner, and to keep what a leg left that took too long."""
RESULTS = "--alluredir=.hopscope/allure-results --clean-alluredir"


@dataclass(frozen=True)
class Leg:
    """``datapath`` and ``placement`` are empty where the leg has all of them."""

    group: str
    runner: str
    python: str
    datapath: str
    placement: str
    minutes: int
    run: tuple[str, ...]
    arguments: str

    @property
    def name(self) -> str:
        parts = (self.group, self.runner.replace(".", ""), f"py{self.python.replace('.', '')}", self.datapath)
        return "-".join(filter(None, (*parts, self.placement)))

    def of(self, tests: list[str]) -> Leg:
        """The same leg of some of its tests; of all where none is named. ValueError where that cannot be."""
        where, *options = self.arguments.split() or [""]
        strangers = [test for test in tests if not where or not test.startswith(where)]
        if strangers:
            raise ValueError(f"{self.name} runs {where or 'everything'}, and not {' '.join(strangers)} alone")
        return replace(self, arguments=" ".join([*tests, *options])) if tests else self

    def environment(self) -> dict[str, str]:
        """What its command is told: by variables, so that `make` and `.ci/run` need no options for it."""
        arguments = [self.arguments, RESULTS if "tests/integration" in self.arguments else ""]
        if self.placement:
            arguments.append(f'-k "not {OTHER[self.placement]}"')
        told = {"PYTEST_ARGS": " ".join(filter(None, arguments))} if self.arguments else {}
        return told | ({"HOPSCOPE_DATAPATH": self.datapath} if self.datapath else {})


def legs(groups: Iterable[str] = ()) -> list[Leg]:
    """Those of the named groups, or all. KeyError for a group that there is not."""
    tables = tomllib.loads(FILE.read_text())
    found = []
    for group in groups or tables:
        table = tables[group]
        lists = (table["runner"], table["python"], table.get("datapath", [""]), table.get("placement", [""]))
        found += [
            Leg(group, *each, table["minutes"], tuple(table["run"]), table.get("arguments", ""))
            for each in product(*lists)
        ]
    return found


def main(argv: list[str]) -> int:
    try:
        if argv[:1] == ["list"]:
            listed = [{"name": leg.name, "limit": leg.minutes + GRACE, **asdict(leg)} for leg in legs(argv[1:])]
            print(f"legs={json.dumps(listed)}")
            return 0
        if argv[:1] == ["run"] and len(argv) >= 2:
            return run({leg.name: leg for leg in legs()}[argv[1]].of(argv[2:]))
    except KeyError as unknown:
        print(f"leg: there is no {unknown}; there are: {', '.join(leg.name for leg in legs())}", file=sys.stderr)
        return 64
    except ValueError as wrong:
        print(f"leg: {wrong}", file=sys.stderr)
        return 64
    print(__doc__, file=sys.stderr)
    return 64


def run(leg: Leg) -> int:
    """The exit code of its command, which is ended with all that it started when its time is over: 1 then."""
    told = leg.environment()
    print(f"leg {leg.name}:", *(f"{key}={shlex.quote(value)}" for key, value in told.items()), *leg.run, flush=True)
    with subprocess.Popen(leg.run, cwd=ROOT, env={**os.environ, **told}, process_group=0) as process:
        try:
            return process.wait(leg.minutes * 60)
        except subprocess.TimeoutExpired:
            print(f"leg {leg.name}: did not end in {leg.minutes} minutes", file=sys.stderr)
            return 1
        finally:  # Ctrl-C comes by here as well, and labs end with the session that has them
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
