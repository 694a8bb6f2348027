"""``hopscope judge PATH``: a run or any folder of captures, judged without a lab."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hopscope.checks.judge import Judgement, judge_folder, judge_trace
from hopscope.checks.text import render
from hopscope.errors import UsageError, exit_code
from hopscope.report import flows, shards
from hopscope.report.ladder import find_flow, ladder
from hopscope.report.memory import give_back
from hopscope.report.progress import Progress
from hopscope.run import rundir
from hopscope.wire.trace import Trace
from hopscope.wire.tunnel import TunnelTrace

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
    give_back()
    path = named(Path(arguments.path))
    if arguments.ladder is not None:
        for folder, text in ladders(path, arguments.ladder):
            print(f"== {folder}\n{text}")
        return 0
    if arguments.flow is not None:
        return exit_code(_one_flow(path, arguments.flow, arguments.expect))
    wanted = None if arguments.top is None else flows.order(arguments.top)
    documents: list[dict[str, Any]] = []
    codes = []
    every = folders(path)
    with Progress(sys.stderr) as progress:
        for number, folder in enumerate(every):
            if TunnelTrace.is_one(folder):
                judgement = judge_folder(folder)
                codes.append(judgement.exit_code)
                progress.clear()
                _tell(folder, path, number, judgement, documents if arguments.json else None)
                continue
            count = shards.needed(folder, arguments.workers)
            if count > 1 or arguments.dask:
                if wanted is not None:
                    raise UsageError(f"{folder}: judged in {count} shards: --top wants all flows in memory at once")
                judgement = shards.judge(
                    folder, arguments.expect or claimed(folder), way=_way(arguments), count=count, progress=progress
                )
                codes.append(judgement.exit_code)
                progress.clear()
                _tell(folder, path, number, judgement, documents if arguments.json else None)
                continue
            trace = Trace.load(folder, progress)
            judgement = judge_trace(trace, arguments.expect or claimed(folder), source=str(folder), progress=progress)
            codes.append(judgement.exit_code)
            listed = None if wanted is None else flows.top_flows(trace, *wanted)
            progress.clear()
            more = {} if listed is None else {"flows_listed": listed}
            _tell(folder, path, number, judgement, documents if arguments.json else None, **more)
            if arguments.json:
                continue
            if listed is not None:
                print(f"\n{arguments.top}:\n{flows.top_text(listed)}")
            drawn = flows.first_failing(trace, judgement.verdicts)
            if drawn is not None:
                print(f"\nthe first flow that failed:\n{drawn}")
    if arguments.json:
        print(json.dumps(documents[0] if every[0] == path else documents, indent=1))
    return exit_code(codes)


def _way(arguments: argparse.Namespace) -> shards.Way:
    return (
        shards.on_dask(arguments.dask, arguments.workers) if arguments.dask else shards.on_processes(arguments.workers)
    )


def _tell(
    folder: Path, path: Path, number: int, judgement: Judgement, documents: list[dict[str, Any]] | None, **more: Any
) -> None:
    """Print a judgement, or add it to the documents that are printed at the end."""
    if documents is not None:
        documents.append({"folder": str(folder), **judgement.to_json(), **more})
        return
    if folder != path:
        print(("\n" if number else "") + f"== {folder.relative_to(path)}")
    print(render(judgement))


def _one_flow(path: Path, wanted: str, expect: str | None) -> list[int]:
    codes = []
    for folder in folders(path):
        if TunnelTrace.is_one(folder):
            continue
        trace = Trace.load(folder)
        index = find_flow(trace, wanted)
        if index is not None:
            text, judgement = flows.flow_text(trace, index, expect or claimed(folder), str(folder))
            print(text)
            codes.append(judgement.exit_code)
    if not codes:
        raise UsageError(
            f"{path}: no flow {wanted!r}: give a client's port, its ADDRESS:PORT, or the flow's number from 1"
        )
    return codes
