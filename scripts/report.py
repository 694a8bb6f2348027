"""Builds the HTML report of the newest test results with Allure 3: ``make report``. Tests never need it.

    python scripts/report.py            # of the last `make demo` or `make test`
    python scripts/report.py LEG…       # of the results in these folders, each an environment of one report
    python scripts/report.py --single … # the same as one file, which needs no server; not for many captures

Exit codes: 0 built, 2 something is not there (it is said what, and the line that mends it).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "fixtures" / "allure"
STATE = ROOT / ".hopscope"
RESULTS, REPORT, HISTORY = STATE / "allure-results", STATE / "report", STATE / "report-history.jsonl"
MERGED, LEG = STATE / "merged-results", "leg"
OF_ONE = ("environment.properties", "executor.json", "categories.json")
"""Files that tell about one session, or that the report has from elsewhere."""
TOOL = STATE / "allure"
CONFIG = "allurerc.mjs"
LOCKED = ("package.json", "package-lock.json", ".npmrc")
INSTALL_S, BUILD_S = 600, 600

_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>\s*", re.DOTALL | re.IGNORECASE)
_TELLS = ("googletagmanager", "google-analytics", "gtag(")


class Absent(Exception):
    """Something that the report needs is not there."""


def main(argv: list[str]) -> int:
    single = "--single" in argv
    folders = [Path(each) for each in argv if each != "--single"]
    try:
        if len(folders) > 1:
            index = build(MERGED, REPORT, merge(folders, MERGED), single=single)
        else:
            index = build(folders[0] if folders else RESULTS, REPORT, single=single)
    except Absent as absent:
        print(f"report: {absent}", file=sys.stderr)
        return 2
    print(f"report: {index.relative_to(Path.cwd()) if index.is_relative_to(Path.cwd()) else index}")
    if not single:
        print(f"    look at it: {Path(sys.executable).name} -m http.server -b 127.0.0.1 -d {index.parent} 8000")
    return 0


def merge(folders: list[Path], into: Path) -> list[str]:
    """All results in one folder, each labelled with its leg: its folder's name, which is returned. Raises Absent.

    A leg without results, one that ended before its first test, is left out and said.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    legs = []
    for folder in folders:
        name = folder.name.removeprefix("results-")
        results = sorted(folder.glob("*-result.json"))
        if not results:
            print(f"report: no results in {folder}", file=sys.stderr)
            continue
        legs.append(name)
        for file in folder.iterdir():
            if file.name not in OF_ONE and file not in results:
                shutil.copyfile(file, into / file.name)
        for file in results:
            result = json.loads(file.read_text())
            result["labels"] = [*result.get("labels", []), {"name": LEG, "value": name}]
            (into / file.name).write_text(json.dumps(result))
    return legs


def build(results: Path, report: Path, legs: Iterable[str] = (), *, single: bool = False) -> Path:
    """The report's first page, its only file where it is ``single``; ``legs`` are its environments. Raises Absent."""
    if not any(results.glob("*-result.json")):
        raise Absent(f"no results in {results}: run `make demo` or `make test` first")
    program = tool(shutil.which)
    shutil.rmtree(report, ignore_errors=True)
    environment = {
        **os.environ,
        "HOPSCOPE_REPORT_HISTORY": str(HISTORY),
        "HOPSCOPE_REPORT_LEGS": " ".join(legs),
        "HOPSCOPE_REPORT_SINGLE": "1" if single else "",
    }
    command = [
        "node",
        str(program),
        "generate",
        str(results),
        "--config",
        str(SOURCE / CONFIG),
        "--output",
        str(report),
    ]
    done = _run(command, BUILD_S, environment)
    if done.returncode != 0 or not (report / "index.html").is_file():
        raise Absent(f"Allure could not build it from {results}:\n{done.stderr or done.stdout}")
    for page in (report / "index.html", *report.glob("*/index.html")):
        page.write_text(stripped(page.read_text()))
    return report / "index.html"


def tool(which: Callable[[str], str | None]) -> Path:
    """Allure's program, installed from the lock file where it has not been. Raises Absent."""
    missing = [package for name, package in (("node", "nodejs"), ("npm", "npm")) if which(name) is None]
    program, mark = TOOL / "node_modules" / "allure" / "cli.js", TOOL / ".fingerprint"
    if missing:
        words = " ".join(missing)
        raise Absent(f"it is built by Node.js: sudo apt-get install -y --no-install-recommends {words}")
    fingerprint = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in LOCKED)).hexdigest()
    if program.is_file() and mark.is_file() and mark.read_text() == fingerprint:
        return program
    shutil.rmtree(TOOL, ignore_errors=True)
    TOOL.mkdir(parents=True)
    for name in LOCKED:
        shutil.copyfile(SOURCE / name, TOOL / name)
    print("report: installing Allure from its lock file")
    done = _run(["npm", "ci", "--prefix", str(TOOL)], INSTALL_S, dict(os.environ))
    if done.returncode != 0 or not program.is_file():
        raise Absent(f"Allure could not be installed:\n{done.stderr[-2000:]}")
    mark.write_text(fingerprint)
    return program


def stripped(page: str) -> str:
    """A page without the scripts that tell others that it was opened. Raises Absent where one would be left."""
    clean = _SCRIPT.sub(lambda found: "" if any(word in found[0] for word in _TELLS) else found[0], page)
    if any(word in clean for word in _TELLS):
        raise Absent("Allure's page has changed: its analytics cannot be taken out, so there is no report")
    return clean


def _run(command: list[str], timeout: float, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=TOOL, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise Absent(f"`{' '.join(command[:3])}` did not end in {timeout:g} s") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
