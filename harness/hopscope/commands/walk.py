"""``hopscope lab exec|shell|watch``: into a host of a lab that is up, whoever built it."""

from __future__ import annotations

import argparse
import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope.commands.labs import root
from hopscope.errors import EnvironmentFault, UsageError, WaitTimeout
from hopscope.lab import staying
from hopscope.lab.wait import wait_until

if TYPE_CHECKING:
    from hopscope.capture.tap import CaptureTap
    from hopscope.wire.tail import Tail

    Subparsers = argparse._SubParsersAction[Any]

#: Kept between sessions of a person at a terminal; everything else is the executor's own small environment.
PERSONAL = ("TERM", "COLORTERM", "LINES", "COLUMNS")
HEADERS = 256  # bytes of a frame that are enough for every header that is shown
WATCH_LIMIT = 1_000_000_000
POLL_SECONDS = 0.2
FOREVER = 10.0**9


def add(commands: Subparsers, options: Callable[[argparse.ArgumentParser], None]) -> None:
    run = commands.add_parser("exec", help="run a command on a host of a lab; its exit code is ours")
    run.add_argument("name", metavar="NAME")
    run.add_argument("host", metavar="HOST")
    run.add_argument("argv", metavar="-- ARGV", nargs=argparse.REMAINDER)
    options(run)
    run.set_defaults(command=command_exec)

    shell = commands.add_parser("shell", help="a shell on a host of a lab")
    shell.add_argument("name", metavar="NAME")
    shell.add_argument("host", metavar="HOST")
    options(shell)
    shell.set_defaults(command=command_shell)

    watch = commands.add_parser("watch", help="what passes a port, decoded, one line a packet, until Ctrl-C")
    watch.add_argument("name", metavar="NAME")
    watch.add_argument("port", metavar="HOST:PORT", help="as in servernic:eth0")
    watch.add_argument("--count", metavar="N", type=int, help="end after N packets")
    watch.add_argument("--filter", metavar="EXPRESSION", help='as tcpdump takes it: "tcp port 8080"')
    options(watch)
    watch.set_defaults(command=command_watch)


def command_exec(arguments: argparse.Namespace) -> int:
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise UsageError("what to run? hopscope lab exec NAME HOST -- ARGV…")
    return _become(arguments, argv)


def command_shell(arguments: argparse.Namespace) -> int:
    shell = os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    extra = {"HOPSCOPE_LAB": arguments.name, "HOPSCOPE_HOST": arguments.host}
    return _become(
        arguments, [shell], extra, f"{arguments.host} of lab {arguments.name}; exit leaves it, the lab stays"
    )


def command_watch(arguments: argparse.Namespace) -> int:
    if arguments.count is not None and arguments.count < 1:
        raise UsageError(f"--count {arguments.count}: must be at least 1")
    from hopscope.capture.programs import Options
    from hopscope.capture.tap import CaptureTap
    from hopscope.lab import attached
    from hopscope.wire.tail import Tail

    lab = attached.attach(staying.find(root(arguments), arguments.name)[0])
    host, separator, name = arguments.port.partition(":")
    if not separator:
        raise UsageError(f"{arguments.port!r} is no port: write HOST:PORT, as in servernic:eth0")
    port = lab.topology.host(host).port(name)
    with tempfile.TemporaryDirectory(prefix="hopscope-watch-") as scratch:
        file = Path(scratch) / f"{port.tap}.pcap"
        options = Options(filter=arguments.filter, snaplen=HEADERS, limit_bytes=WATCH_LIMIT)
        tap = CaptureTap(lab.hosts[host], port, file, options)
        tap.start()
        print(f"watching {port.key} of lab {lab.name}; Ctrl-C ends it", flush=True)
        try:
            _show(tap, Tail(file), arguments.count)
        except KeyboardInterrupt:
            print()
        finally:
            tap.kill()
    return 0


def _show(tap: CaptureTap, tail: Tail, count: int | None) -> None:
    from hopscope.report.packets import lines

    left = count

    def enough() -> bool:
        nonlocal left
        tap.write_out()
        packets = tail.read()
        for line in lines(packets)[:left]:
            print(line, flush=True)
        if left is not None:
            left = max(0, left - len(packets))
        if not len(packets) and tap.ended:
            raise EnvironmentFault(f"the capture ended after {tail.seen} packets", host=tap.port.host)
        return left == 0

    try:
        wait_until(enough, timeout=FOREVER, interval=POLL_SECONDS, what="the last packet asked for")
    except WaitTimeout:  # thirty years
        return


def _become(
    arguments: argparse.Namespace, argv: list[str], extra: dict[str, str] | None = None, greeting: str = ""
) -> int:
    """Replace this process: the terminal, its keys and the exit code are the command's."""
    directory, known = staying.find(root(arguments), arguments.name)
    hosts = staying.hands(directory, known)
    if arguments.host not in hosts:
        there = ", ".join(name for name in hosts if "/" not in name)
        raise UsageError(f"lab {arguments.name} has no host {arguments.host!r}; there are: {there}")
    entry, environment = hosts[arguments.host].walk_in(argv, cwd=Path.cwd())
    personal = {key: os.environ[key] for key in PERSONAL if key in os.environ}
    if greeting:
        print(greeting, flush=True)
    os.execvpe(entry[0], entry, {**environment, **personal, **(extra or {})})  # noqa: S606
