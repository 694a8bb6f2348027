"""``hopscope runs list|gc``: what past sessions left, and how to make room."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope.errors import UsageError
from hopscope.report.terminal import table
from hopscope.run import phase, rundir

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]

RUNS = Path(".hopscope/runs")


def add(commands: Subparsers) -> None:
    listed = commands.add_parser("list", help="runs, newest first, with their size and what they reached")
    listed.add_argument("--json", action="store_true", help="print the list as JSON")
    _finish(listed, command_list)
    gc = commands.add_parser("gc", help="remove the oldest runs beyond the bounds; a run that is going on stays")
    gc.add_argument("--keep", metavar="N", type=int, default=rundir.KEEP_RUNS, help=f"default: {rundir.KEEP_RUNS}")
    gc.add_argument("--max-bytes", metavar="N", type=int, default=rundir.KEEP_BYTES, help="default: 5 GB")
    _finish(gc, command_gc)


def _finish(parser: argparse.ArgumentParser, command: Any) -> None:
    parser.add_argument("--runs", metavar="DIR", type=Path, default=RUNS, help=f"where runs are (default: {RUNS})")
    parser.set_defaults(command=command)


def command_list(arguments: argparse.Namespace) -> int:
    facts = [_facts(directory) for directory in rundir.runs(arguments.runs)]
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    rows = [
        (
            str(fact["run"]),
            str(fact["started"] or "-"),
            _state(fact),
            str(fact["tests"]),
            f"{fact['bytes'] / 1e6:.1f} MB",
        )
        for fact in facts
    ]
    print(
        "\n".join(table(("run", "started", "state", "tests", "size"), rows)) if rows else f"no runs in {arguments.runs}"
    )
    return 0


def command_gc(arguments: argparse.Namespace) -> int:
    if arguments.keep < 0 or arguments.max_bytes < 0:
        raise UsageError("--keep and --max-bytes cannot be negative")
    removed = rundir.collect(arguments.runs, arguments.keep, arguments.max_bytes)
    print("\n".join(f"removed {directory.name}" for directory in removed) or "nothing to remove")
    return 0


def _state(fact: dict[str, Any]) -> str:
    if fact["alive"] or fact["ended"]:
        return "going on" if fact["alive"] else "ended"
    return f"killed while {fact['phase']}" if fact["phase"] else "killed"


def _facts(directory: Path) -> dict[str, Any]:
    manifest = rundir.read_manifest(directory) or {}
    started = manifest.get("started_ns")
    return {
        "run": directory.name,
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started / 1e9)) if started else None,
        "ended": "ended_ns" in manifest,
        "alive": rundir.alive(directory),
        "phase": phase.last(directory),
        "tests": len(manifest.get("tests", [])),
        "bytes": rundir.size(directory),
        "directory": str(directory),
    }
