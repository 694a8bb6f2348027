"""One leg of the matrix in .github/legs.toml, here or on a runner; nothing but the standard library is needed.

    python scripts/leg.py list [GROUP…]     # as `legs=[…]`, which a workflow appends to its outputs
    python scripts/leg.py run NAME          # runs it here, with the Python that `python3` is; its exit code is ours

Exit codes of its own: 64 for a name that there is not.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".github" / "legs.toml"
OTHER = {"stamp": "hold", "hold": "stamp"}
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
            listed = [{"name": leg.name, **asdict(leg)} for leg in legs(argv[1:])]
            print(f"legs={json.dumps(listed)}")
            return 0
        if argv[:1] == ["run"] and len(argv) == 2:
            return run({leg.name: leg for leg in legs()}[argv[1]])
    except KeyError as unknown:
        print(f"leg: there is no {unknown}; there are: {', '.join(leg.name for leg in legs())}", file=sys.stderr)
        return 64
    print(__doc__, file=sys.stderr)
    return 64


def run(leg: Leg) -> int:
    told = leg.environment()
    print(f"leg {leg.name}:", *(f"{key}={shlex.quote(value)}" for key, value in told.items()), *leg.run, flush=True)
    try:
        ended = subprocess.run(leg.run, cwd=ROOT, env={**os.environ, **told}, timeout=leg.minutes * 60, check=False)
    except subprocess.TimeoutExpired:
        print(f"leg {leg.name}: did not end in {leg.minutes} minutes", file=sys.stderr)
        return 1
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
