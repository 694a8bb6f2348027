"""``hopscope lastmile LAB``: why a tunnel that is up carries nothing, and what mends it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope.commands.labs import root
from hopscope.errors import ProductFault, UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]


def add(commands: Subparsers, options: Callable[[argparse.ArgumentParser], None]) -> None:
    parser = commands.add_parser("lastmile", help="find out why a tunnel that is up carries nothing, and mend it")
    parser.add_argument("name", metavar="LAB", help="a lab that is up, with a tunnel in it")
    parser.add_argument("--sut", metavar="NAME", help="the tunnel (default: the one the lab was brought up with)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say what would be set (the default)")
    what.add_argument("--repair", action="store_true", help="mend, and keep only what helped")
    what.add_argument("--sequence", choices=("known",), help="the four known steps in their order, each judged")
    parser.add_argument("--permanent", metavar="DIR", type=Path, help="write what was kept as files that stay")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options(parser)
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    from hopscope import data
    from hopscope.lab import attached, staying
    from hopscope.lastmile import known, permanent, planner, render
    from hopscope.lastmile.ground import ground
    from hopscope.lastmile.infer import infer
    from hopscope.lastmile.look import look
    from hopscope.model.laid import lay
    from hopscope.report import last_mile

    if arguments.permanent is not None and not arguments.repair:
        raise UsageError("--permanent writes what a repair kept: give --repair with it")
    directory, state = staying.find(root(arguments), arguments.name)
    name = arguments.sut or state.sut
    if name is None:
        raise UsageError(f"lab {arguments.name} was brought up without a tunnel: say which with --sut")
    lab = attached.attach(directory)
    what = ground(lab.topology, lay(lab.topology, data.sut(name, lab.topology)))
    live = sys.stdout.isatty() and not arguments.json
    begun, done = (_saying("[..]"), _saying("[ok]")) if live else (_quiet, _quiet)
    begun(f"looking at {', '.join(what.hosts)}")
    if arguments.sequence:
        steps = known.run(lab.hosts, what)
        print(json.dumps([str(each) for each in steps]) if arguments.json else "\n".join(map(str, steps)))
        return ProductFault.exit_code if steps[-1].after else 0
    view = look(lab.hosts, what, say=done)
    findings = infer(view)
    told = render.document(view, findings)
    if live:
        print("\n".join([*last_mile.checklist(told), ""]), flush=True)
    outcome = planner.mend(lab, what, view, say=begun) if arguments.repair else None
    if arguments.json:
        print(json.dumps(render.document(view, findings, outcome), indent=1))
    else:
        print("\n".join(last_mile.diagnosis(told)))
        if outcome is not None:
            print("\n".join(last_mile.repairs(outcome.document())))
    if outcome is not None and arguments.permanent is not None:
        files = permanent.write(arguments.permanent, outcome, lab.hosts)
        if not arguments.json:
            print("\n".join(f"wrote {file}" for file in files))
    # A tunnel that had to be mended has failed, also where it carries now.
    return ProductFault.exit_code if view.failing else 0


def _saying(mark: str) -> Callable[[str], None]:
    return lambda text: print(f"{mark} {text}", flush=True)


def _quiet(text: str) -> None:
    return
