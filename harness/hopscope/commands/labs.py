"""``hopscope lab up|list|down|reap``: labs that stay until their time is up or someone ends them."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope.errors import UsageError
from hopscope.lab import state, staying
from hopscope.lab.state import LabState
from hopscope.report.terminal import table

if TYPE_CHECKING:
    from hopscope.lab.lab import Lab
    from hopscope.lab.plan import Mechanism

    Subparsers = argparse._SubParsersAction[Any]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_S = 30 * 86400
DEFAULT_TTL = "8h"


def add(commands: Subparsers, options: Callable[[argparse.ArgumentParser], None]) -> None:
    up = commands.add_parser("up", help="build a lab that stays, prove it, and say how to walk in")
    up.add_argument("topology", metavar="TOPOLOGY", nargs="?", default="chain", help="file or built-in name")
    up.add_argument("--name", help="name of the lab (default: the topology's)")
    up.add_argument("--ttl", metavar="TIME", type=seconds, default=seconds(DEFAULT_TTL), help="default: 8h")
    up.add_argument("--sut", metavar="NAME", help="start this system under test, to stay (default: none)")
    up.add_argument(
        "--ssh", metavar="FILE", help="an SSH server on every host, and an inventory for --lab-inventory in FILE"
    )
    up.add_argument("--rtt", metavar="MS", type=float, help="round trip of the WAN leg, instead of the topology's")
    _finish(up, options, command_up)

    listed = commands.add_parser("list", help="labs that are up: whose they are and until when")
    listed.add_argument("--json", action="store_true", help="print the list as JSON")
    _finish(listed, options, command_list)

    down = commands.add_parser("down", help="end a lab that stays")
    down.add_argument("name", metavar="NAME")
    _finish(down, options, command_down)

    reap = commands.add_parser("reap", help="remove what labs of dead owners left, and nothing else")
    _finish(reap, options, command_reap)


def _finish(
    parser: argparse.ArgumentParser,
    options: Callable[[argparse.ArgumentParser], None],
    command: Callable[[argparse.Namespace], int],
) -> None:
    options(parser)
    parser.set_defaults(command=command)


def root(arguments: argparse.Namespace) -> Path:
    """The directory of labs: as given, else the nearest ``.hopscope/labs`` from here upwards, else one here."""
    if arguments.labs is not None:
        return Path(arguments.labs).absolute()
    return staying.nearest()


def seconds(text: str) -> float:
    """``8h``, ``30m``, ``90s``, ``2d`` in seconds, up to 30 days."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    value = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 1 <= value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to live: write 90s, 30m, 8h or 2d, at most 30d")
    return value


def command_up(arguments: argparse.Namespace) -> int:
    from hopscope import data
    from hopscope.lab import management, ssh_lab
    from hopscope.lab.sut import RunningSut
    from hopscope.lab.tunnel import RunningTunnel
    from hopscope.model.document import load_topology
    from hopscope.providers.netns import NetnsProvider

    source = data.find("topologies", arguments.topology)
    topology = load_topology(source)
    if arguments.rtt is not None:
        if not 0 <= arguments.rtt < 60_000:
            raise UsageError(f"--rtt {arguments.rtt:g}: must be a number of milliseconds from 0 up to 60000")
        topology = topology.with_rtt(arguments.rtt)
    sut = None if arguments.sut is None else data.sut(arguments.sut, topology, folders=[source.parent])
    if arguments.ssh is not None:
        topology = management.with_management(topology)
    labs = root(arguments)
    made: Mechanism | None = None if arguments.ssh is None else "packet-line"
    name = arguments.name or topology.name
    with NetnsProvider().acquire(topology, directory=labs, name=name, mechanism=made) as lab:
        proof = prove(lab)
        if arguments.ssh is not None:
            ssh_lab.write_inventory(Path(arguments.ssh), lab, ssh_lab.open_doors(lab), ssh_lab.open_middles(lab))
        if sut is not None:
            (RunningSut if sut.tunnel is None else RunningTunnel)(lab, sut, lab.directory / "sut").__enter__()
        held = staying.hand_over(lab, arguments.ttl, source=source, sut=None if sut is None else sut.name)
    print(f"lab {lab.name} is up until {_clock(held)}: {', '.join(lab.hosts)}; {proof}")
    if sut is not None:
        print(f"  SUT {sut.name} is on the path; its logs are in {lab.directory / 'sut'}")
    if arguments.ssh is not None:
        print(f"  by SSH:  pytest --lab-provider inventory --lab-inventory {arguments.ssh}")
    print(f"  walk in: {staying.typed('shell', labs, lab.name, next(iter(lab.hosts)))}")
    print(f"  end it:  {staying.typed('down', labs, lab.name)}")
    return 0


def prove(lab: Lab) -> str:
    """The achieved round trip and both taps of every hop, where the topology has two ends. What was seen, in words."""
    from hopscope.capture.probe import verify_taps
    from hopscope.lab.rtt import check_rtt
    from hopscope.model.topology import Role

    client = next((host.name for host in lab.topology.hosts if host.role is Role.CLIENT), None)
    if client is None:
        return "it has no client, so no round trip was measured"
    rtt_ns = check_rtt(lab, client, lab.topology.service.host)
    verify_taps(lab, lab.directory / "probe")
    return f"idle RTT {rtt_ns / 1e6:.2f} ms, every hop seen on both taps"


def command_list(arguments: argparse.Namespace) -> int:
    facts = [_facts(path, known) for path, known in state.labs(root(arguments)) if known is not None]
    if arguments.json:
        print(json.dumps(facts, indent=1))
    elif facts:
        rows = [[str(fact[key] or "-") for key in ("name", "topology", "state", "sut", "until")] for fact in facts]
        print("\n".join(table(("lab", "topology", "state", "SUT", "until"), rows)))
    else:
        print("no lab is up")
    return 0


def _facts(path: Path, known: LabState) -> dict[str, Any]:
    if not known.keeper.alive:
        condition = "gone"
    elif not known.owner.alive:
        condition = "owner dead"
    else:
        condition = "up" if known.held else f"session {known.owner.pid}"
    return {
        "name": path.name,
        "topology": known.topology.get("name"),
        "state": condition,
        "sut": known.sut,
        "until": _clock(known) if known.held else None,
        "hosts": [each for each in known.namespaces if "/" not in each],
        "keeper": known.keeper.pid,
        "owner": known.owner.pid,
        "directory": str(path),
    }


def command_down(arguments: argparse.Namespace) -> int:
    staying.down(root(arguments), arguments.name)
    print(f"lab {arguments.name} has gone")
    return 0


def command_reap(arguments: argparse.Namespace) -> int:
    removed = staying.reap(root(arguments))
    print("\n".join(removed) if removed else "nothing was left")
    return 0


def _clock(known: LabState) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(known.expires))
