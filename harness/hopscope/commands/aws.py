"""``hopscope aws``: the chain on EC2 by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hopscope.errors import EnvironmentFault, HarnessFault, UsageError

if TYPE_CHECKING:
    from hopscope.aws.audit import Line
    from hopscope.aws.repair import Stack

    Subparsers = argparse._SubParsersAction[Any]

HOURS, MAX_USD, TYPE = 2.0, 2.0, "c6i.large"
ACCESS = ("addresses", "endpoints")


def add(commands: Subparsers) -> None:
    one = commands.add_parser("provision", help="build a stack, or go on with one that was cut off")
    _about(one)
    one.add_argument("--max-usd", metavar="USD", type=float, default=MAX_USD, help="the most it may cost (default: 2)")
    one.add_argument(
        "--access", choices=ACCESS, help="how hosts reach Systems Manager: public addresses (default), or endpoints"
    )
    one.add_argument("--dry-run", action="store_true", help="say what would be made and what it would cost")
    one.set_defaults(command=provision)

    two = commands.add_parser("audit", help="what of a stack is not as it should be, and what that does to tests")
    _about(two)
    _depth(two)
    two.set_defaults(command=audit)

    three = commands.add_parser("repair", help="mend it, and read it back")
    _about(three)
    _depth(three)
    three.set_defaults(command=repair)

    four = commands.add_parser("adopt", help="audit a stack made elsewhere, by its VPC")
    _common(four)
    four.add_argument("vpc", metavar="VPC", help="vpc-…")
    four.add_argument("--repair", action="store_true", help="mend it: this changes what does not carry our tag")
    _depth(four)
    four.set_defaults(command=adopt)

    five = commands.add_parser("reap", help="take down runs whose time is over, or one by its name")
    five.add_argument("--run", metavar="NAME", help="this run, whatever its time")
    five.add_argument("--region", metavar="REGION", help="default: AWS_REGION")
    five.add_argument("--dry-run", action="store_true", help="say which")
    five.set_defaults(command=reap)

    six = commands.add_parser("policy", help="the IAM policy that all of this needs, and no more")
    six.set_defaults(command=policy)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topology", metavar="FILE", default="chain", help="default: chain")
    parser.add_argument("--region", metavar="REGION", help="default: AWS_REGION")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _depth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cloud-only", action="store_true", help="look at AWS alone and not into the hosts")


def _about(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the name of the stack: letters, digits and dashes")
    parser.add_argument("--type", metavar="TYPE", default=TYPE, help=f"instance type (default: {TYPE})")
    parser.add_argument("--hours", metavar="H", type=float, default=HOURS, help="when it ends by itself (default: 2)")
    _common(parser)


def provision(arguments: argparse.Namespace) -> int:
    from hopscope.aws import guards, quotas

    stack = _stack(arguments, arguments.run)
    usd = guards.check(stack.topology, stack.request, arguments.max_usd)
    actual = stack.look()
    if arguments.dry_run:
        lines = stack.audit()
        room = quotas.look(stack.cloud, quotas.needs(stack.topology, stack.request, actual))
        if not arguments.json:
            print(f"up to {usd:.2f} USD in {arguments.hours:g} h", *room, sep="\n")
        _print(arguments, [line for line in lines if line.status != "OK"], lines)
        return EnvironmentFault.exit_code if any(quota.short for quota in room) else 0
    quotas.check(stack.cloud, stack.topology, stack.request, actual)
    return _told(arguments, stack, stack.repair(_say(arguments)))


def audit(arguments: argparse.Namespace) -> int:
    return _whole(arguments, _stack(arguments, arguments.run), mend=False)


def repair(arguments: argparse.Namespace) -> int:
    stack = _stack(arguments, arguments.run)
    if "vpc" not in stack.look().ids:
        raise UsageError(f"there is no stack {arguments.run!r} to repair: hopscope aws provision builds one")
    return _whole(arguments, stack, mend=True)


def adopt(arguments: argparse.Namespace) -> int:
    arguments.hours = HOURS
    stack = _stack(arguments, "adopted", vpc=arguments.vpc)
    before = stack.look()
    if "vpc" not in before.ids and "vpc" not in before.unknown:
        raise UsageError(f"there is no VPC {arguments.vpc} in {stack.cloud.region}")
    return _whole(arguments, stack, mend=arguments.repair)


def reap(arguments: argparse.Namespace) -> int:
    from hopscope.aws import takedown
    from hopscope.aws.cloud import connect

    cloud = connect(arguments.region)
    runs = [arguments.run] if arguments.run else takedown.expired(cloud)
    for run in runs:
        print(f"{'would take down' if arguments.dry_run else 'taking down'} {run}", flush=True)
        if not arguments.dry_run:
            takedown.take_down(cloud, run, lambda text: print(f"… {text}", flush=True))
    if not runs:
        print("nothing has expired")
    return 0


def policy(arguments: argparse.Namespace) -> int:
    from hopscope import data

    print(data.path("aws/policy.json").read_text(), end="")
    return 0


def _stack(arguments: argparse.Namespace, run: str, *, vpc: str | None = None) -> Stack:
    import getpass
    from datetime import UTC, datetime, timedelta

    from hopscope import data
    from hopscope.aws.actual import access_of
    from hopscope.aws.cloud import connect
    from hopscope.aws.desired import ADDRESSES, RUN, Request, legal
    from hopscope.aws.repair import Stack

    if not RUN.fullmatch(run):
        raise UsageError(f"{run!r} is no name for a run: lower-case letters, digits and dashes, at most 41")
    if not 0 < arguments.hours <= 24:
        raise UsageError(f"--hours {arguments.hours:g}: more than 0, at most 24")
    expires = datetime.now(UTC) + timedelta(hours=arguments.hours)
    cloud = connect(arguments.region)
    access = access_of(cloud, run, getattr(arguments, "access", None)) if vpc is None else ADDRESSES
    request = Request(run, getpass.getuser(), expires, getattr(arguments, "type", TYPE), access=access)
    return Stack(cloud, legal(data.topology(arguments.topology)), request, vpc=vpc)


def _whole(arguments: argparse.Namespace, stack: Stack, *, mend: bool) -> int:
    """The stack in AWS, and unless that is all that was asked for, its hosts from inside."""
    import tempfile
    from pathlib import Path

    from hopscope.aws.guests import Guests

    say = _say(arguments)
    lines = stack.repair(say) if mend else stack.audit()
    if not arguments.cloud_only:
        with tempfile.TemporaryDirectory() as logs, Guests(stack, Path(logs)) as guests:
            lines += guests.repair(say) if mend else guests.audit()
    return _told(arguments, stack, lines)


def _told(arguments: argparse.Namespace, stack: Stack, lines: Sequence[Line]) -> int:
    from hopscope.aws.audit import Status
    from hopscope.aws.fragment import fragment

    extra: dict[str, Any] = {}
    if stack.vpc is not None and any(line.status is not Status.OK for line in lines):
        extra["fragment"] = fragment(lines, stack.look())
    _print(arguments, [line for line in lines if line.status is not Status.OK], lines, **extra)
    left = {line.status for line in lines} - {Status.OK, Status.FIXED}
    if left & {Status.DRIFT, Status.MANUAL}:
        return EnvironmentFault.exit_code
    return HarnessFault.exit_code if left else 0


def _print(arguments: argparse.Namespace, shown: Sequence[Line], lines: Sequence[Line], **extra: Any) -> None:
    from hopscope.aws.audit import summary

    if arguments.json:
        print(json.dumps({"lines": [line.document() for line in lines], **extra}, indent=1))
        return
    for line in shown:
        print(line)
    if "fragment" in extra:
        print("to make it permanent, in the template that the stack is made by:")
        print(json.dumps(extra["fragment"], indent=1))
    print(summary(lines))


def _say(arguments: argparse.Namespace) -> Any:
    quiet = arguments.json or not sys.stdout.isatty()
    return (lambda text: None) if quiet else (lambda text: print(f"… {text}", flush=True))
