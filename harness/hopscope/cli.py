"""The command ``hopscope``. Each subcommand is a function of its arguments; exit codes are those of hopscope.errors."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence

from hopscope import __version__
from hopscope.commands import aws, init, labs, lastmile, runs, schema, walk
from hopscope.errors import HarnessFault, HopscopeError
from hopscope.report import preflight


def main(argv: Sequence[str] | None = None) -> int:
    """Parse ``argv`` (default: the process's), run, and return the exit code. Never a traceback for a known fault."""
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except HopscopeError as error:
        print(f"hopscope: {error.kind}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `hopscope judge … | head` has seen enough
        sys.stderr.close()
        return 0
    except Exception:  # a mistake of ours must not read as the product's, which code 1 would say
        traceback.print_exc()
        print("hopscope: harness: this is a mistake in Hopscope; nothing may be concluded", file=sys.stderr)
        return HarnessFault.exit_code


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2 on wrong usage, which is our code for *environment*."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(64)


def parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hopscope",
        description="Integration tests for what sits in the middle of a network path.",
        epilog="exit codes: 0 all is well, 1 product, 2 environment, 3 inconclusive, 64 usage",
    )
    parser.add_argument("--version", action="version", version=f"hopscope {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    one = commands.add_parser("judge", help="judge captures: a run, or any folder of HOST-ANYTHING.pcap[ng] files")
    one.add_argument("path", metavar="PATH", help="a run directory, a folder of captures, or a run's name")
    one.add_argument(
        "--expect", choices=("stamp", "hold", "plain", "proxy"), help="claim a placement; a wrong claim is a failure"
    )
    shape = one.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print the judgement as JSON")
    shape.add_argument("--ladder", metavar="FLOW", help="draw one flow over all taps instead: its port, or its number")
    shape.add_argument("--flow", metavar="FLOW", help="judge one flow alone, and tell and draw all that it did")
    one.add_argument("--top", metavar="NAME=COUNT", help="also list flows: slowest, first-byte, repeats or largest")
    one.add_argument(
        "--workers", metavar="N", type=_count, default=1, help="judge in shards on N processes (default: 1)"
    )
    one.add_argument(
        "--dask", metavar="SCHEDULER", help="shards by Dask: processes, threads, or a cluster's tcp://HOST:PORT"
    )
    one.set_defaults(command=_judge)

    page = commands.add_parser("report", help="one page (HTML) of a run: what failed, whose fault, flows drawn")
    page.add_argument("run", metavar="RUN", help="a run directory, or a run's name")
    page.add_argument("--output", metavar="FILE", help="default: report.html in the run")
    page.set_defaults(command=_report)

    compare = commands.add_parser("compare", help="runs against each other: budgets that moved, and what had changed")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="run directories, or names; each against the last")
    compare.add_argument("--history", metavar="FILE", help="add the runs to it; the first is held against its newest")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="for a pull request")
    form.add_argument("--json", action="store_true", help="print it as JSON")
    compare.set_defaults(command=_compare)

    two = commands.add_parser("preflight", help="what this machine can do, tried out, and what is lost without it")
    two.add_argument("--json", action="store_true", help="print the list as JSON")
    two.set_defaults(command=preflight.command)

    three = commands.add_parser("lab", help="a lab by hand: up, exec, shell, watch, list, down, reap")
    of_labs = three.add_subparsers(metavar="COMMAND", required=True)
    for part in (labs, walk):
        part.add(of_labs, _labs_option)

    four = commands.add_parser("runs", help="runs of past sessions: list, gc")
    runs.add(four.add_subparsers(metavar="COMMAND", required=True))
    schema.add(commands)
    init.add(commands)
    lastmile.add(commands, _labs_option)
    six = commands.add_parser("aws", help="the chain on EC2: provision, audit, repair, adopt, reap, policy")
    aws.add(six.add_subparsers(metavar="COMMAND", required=True))
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 to 64 is wanted")
    return int(text)


def _judge(arguments: argparse.Namespace) -> int:
    from hopscope.report import judgement  # brings NumPy, which the other commands do without

    return judgement.command(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    from hopscope.report import comparing

    return comparing.command(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from hopscope.page import command

    return command.command(arguments)


def _labs_option(parser: argparse.ArgumentParser) -> None:
    where = "directory of labs (default: the nearest .hopscope/labs from here upwards)"
    parser.add_argument("--labs", metavar="DIR", help=where)
