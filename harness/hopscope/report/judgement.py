"""``hopscope judge PATH``: a run or any folder of captures, judged without a lab."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hopscope.checks.judge import Judgement, judge_folder
from hopscope.checks.text import render
from hopscope.errors import UsageError, exit_code
from hopscope.report.ladder import find_flow, ladder
from hopscope.run import rundir
from hopscope.wire.trace import Trace

#: Where the runs of the current folder are, so that a run's name alone names it.
RUNS = Path(".hopscope/runs")


def named(path: Path) -> Path:
    """The path itself, or the run of this name below :data:`RUNS`."""
    return RUNS / path if not path.exists() and rundir.read_manifest(RUNS / path) is not None else path


def folders(path: Path) -> list[Path]:
    """The folders to judge, each on its own: a run's capture windows, or the folder itself.

    The probe that proves the taps before any test is no test's traffic and is left out. Raises UsageError when there
    is nothing to judge.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; name a run directory or a folder of captures")
    if path.is_file():
        raise UsageError(f"{path} is a file; name the folder that holds the captures of all taps")
    if rundir.read_manifest(path) is None:
        found = rundir.capture_folders(path)
        found = [path] if path in found else found
    else:
        found = rundir.capture_folders(path / "tests")
    if not found:
        raise UsageError(
            f"{path}: no captures; a bare folder has files named HOST-ANYTHING.pcap or .pcapng, "
            "with HOST one of client, clientnic, servernic, server"
        )
    return found


def judge(path: Path, expect: str | None) -> list[tuple[Path, Judgement]]:
    """Every folder below ``path`` with its judgement; see hopscope.checks.judge.

    Without ``expect`` a window of a run is held to the placement that its test claimed.
    """
    return [(folder, judge_folder(folder, expect=expect or claimed(folder))) for folder in folders(path)]


def claimed(folder: Path) -> str | None:
    """The placement that a test claimed of these captures: told in their ``verdicts.json``, and by one name alone."""
    try:
        told = {verdict.get("claim") for verdict in json.loads((folder / rundir.VERDICTS).read_text())} - {None}
    except (OSError, ValueError, TypeError, AttributeError):  # not there, or not written by us
        return None
    return str(told.pop()) if len(told) == 1 else None


def ladders(path: Path, flow: str) -> list[tuple[Path, str]]:
    """The ladder of one flow (see ``find_flow``) in every folder that has it. Raises UsageError when none has."""
    found = []
    for folder in folders(path):
        trace = Trace.load(folder)
        index = find_flow(trace, flow)
        if index is not None:
            found.append((folder, ladder(trace, index)))
    if not found:
        raise UsageError(
            f"{path}: no flow {flow!r}: give a client's port, its ADDRESS:PORT, or the flow's number from 1"
        )
    return found


def command(arguments: argparse.Namespace) -> int:
    path = named(Path(arguments.path))
    if arguments.ladder is not None:
        for folder, text in ladders(path, arguments.ladder):
            print(f"== {folder}\n{text}")
        return 0
    results = judge(path, arguments.expect)
    if arguments.json:
        documents = [{"folder": str(folder), **judgement.to_json()} for folder, judgement in results]
        print(json.dumps(documents[0] if results[0][0] == path else documents, indent=1))
    else:
        for number, (folder, judgement) in enumerate(results):
            if folder != path:
                print(("\n" if number else "") + f"== {folder.relative_to(path)}")
            print(render(judgement))
    return exit_code(judgement.exit_code for _, judgement in results)
