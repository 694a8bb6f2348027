"""The command `python -m hopscope_nic`.

Exit status: 0 after a clean stop (SIGTERM, SIGINT), 64 for a command line that cannot be followed, 2 when the machine
is not as it says.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, closing
from importlib import import_module
from ipaddress import IPv4Interface
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

from hopscope_nic import __version__
from hopscope_nic.core import selection
from hopscope_nic.core.client_nic import HoldClientNic, StampClientNic
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.isn import KEY_BYTES
from hopscope_nic.core.limits import Link
from hopscope_nic.core.server_nic import ServerNic
from hopscope_nic.core.translator import FlowLog, Translator
from hopscope_nic.errors import EnvironmentFault, RewriterError, UsageError
from hopscope_nic.io.events import Events
from hopscope_nic.io.netlink import Netlink
from hopscope_nic.io.ports import DEFAULTS, Inventory, Port, find_ports
from hopscope_nic.io.priority import raise_priority

DATAPATHS = {
    "afpacket": "hopscope_nic.io.afpacket:AfPacket",
    "bpf": "hopscope_nic.io.bpf:Bpf",
    "bpf-clsact": "hopscope_nic.io.bpf:BpfByFilters",
    "scapy": "hopscope_nic.io.scapy_datapath:Scapy",
}
AUTO = "auto"
LEAST_MSS = 88
"""Linux takes no less from its peer (tcp_min_snd_mss is 48, and 40 octets of options must fit)."""
_TAKEN = "the kernel takes the programs"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hopscope_nic", description="Reference 0-RTT rewriter: answers a TCP handshake early.")
    parser.add_argument("role", choices=sorted(DEFAULTS), help="which box this is")
    parser.add_argument("--placement", choices=("stamp", "hold"), required=True, help="which box translates")
    parser.add_argument("--client-port", default="", metavar="IF|SUBNET", help="port towards the client")
    parser.add_argument("--server-port", default="", metavar="IF|SUBNET", help="port towards the server")
    parser.add_argument(
        "--flow", action="append", default=[], metavar="tcp:PORT[-PORT]", help=f"flows to rewrite ({selection.DEFAULT})"
    )
    parser.add_argument(
        "--mss",
        type=int,
        metavar="OCTETS",
        help="promise clients no larger segments than this (clientnic; less is what servers behind it may ask for)",
    )
    parser.add_argument(
        "--datapath",
        choices=[AUTO, *sorted(DATAPATHS)],
        default=AUTO,
        help="how packets get here; auto: the first of bpf, bpf-clsact, afpacket that the machine can",
    )
    parser.add_argument("--log-flows", action="store_true", help="an event for every flow (slow)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run until told to stop; returns the exit status."""
    try:
        _run(_parser().parse_args(argv))
    except RewriterError as error:
        print(f"hopscope_nic: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _run(arguments: argparse.Namespace) -> None:
    if arguments.role == "servernic" and arguments.placement == "hold":
        raise UsageError("in the hold placement servernic runs nothing: its kernel routes")
    if arguments.mss is not None and (arguments.role != "clientnic" or not LEAST_MSS <= arguments.mss <= 0xFFFF):
        raise UsageError(f"--mss {arguments.mss}: clientnic alone answers clients, with {LEAST_MSS} to 65535 octets")
    try:
        ranges = selection.merge([selection.parse(text) for text in arguments.flow or [selection.DEFAULT]])
    except ValueError as error:
        raise UsageError(f"--flow {error}") from None
    with closing(Netlink()) as netlink:
        _serve(arguments, ranges, netlink)


def _serve(arguments: argparse.Namespace, ranges: Tuple[selection.PortRange, ...], netlink: Netlink) -> None:
    """Find the ports, open the datapath, run."""
    inventory = Inventory.read(netlink)
    ports = find_ports(arguments.role, arguments.client_port, arguments.server_port, inventory)
    events = Events(sys.stdout)
    links = (_link(ports[0]), _link(ports[1]))
    machine = _machine(arguments, links, _flow_log(events) if arguments.log_flows else None)

    def enter(name: str) -> Any:
        module, _, kind = DATAPATHS[name].partition(":")
        datapath = getattr(import_module(module), kind)
        return stack.enter_context(datapath(machine, ports, ranges, inventory.own_addresses, netlink, events))

    with ExitStack() as stack:
        running, chosen = _enter(arguments.datapath, enter)
        events.emit(
            "ready",
            role=arguments.role,
            placement=arguments.placement,
            **chosen,
            version=__version__,
            pid=os.getpid(),
            ports={"client": _port(ports[0]), "server": _port(ports[1])},
            flows=[str(one) for one in ranges],
            scheduling=raise_priority(),
        )
        running.run()
    events.emit("stopped")


def _enter(wanted: str, enter: Callable[[str], Any]) -> Tuple[Any, Dict[str, str]]:
    """The datapath, and what the ready event says about the choice."""
    if wanted != AUTO:
        return enter(wanted), {"datapath": wanted}
    refused: List[str] = []
    for name in ("bpf", "bpf-clsact"):
        try:
            return enter(name), {"datapath": name, "chosen": f"auto: {'; '.join([*refused, _TAKEN])}"}
        except EnvironmentFault as fault:
            refused.append(f"no {name}: {fault}")
    return enter("afpacket"), {"datapath": "afpacket", "chosen": f"auto: {'; '.join(refused)}"}


def _machine(arguments: argparse.Namespace, links: Tuple[Link, Link], log: Optional[FlowLog]) -> Translator:
    if arguments.role == "servernic":
        return ServerNic(log=log, links=links)
    kind = HoldClientNic if arguments.placement == "hold" else StampClientNic
    machine = kind(os.urandom(KEY_BYTES), log=log, links=links)
    if arguments.mss is not None:
        machine.mss = min(machine.mss, arguments.mss)
    return machine


def _link(port: Port) -> Link:
    address = IPv4Interface(port.addresses[0]).ip.packed if port.addresses else bytes(4)
    return Link(port.mtu, address)


def _flow_log(events: Events) -> FlowLog:
    def log(event: str, flow: Flow) -> None:
        events.emit(event, flow=flow.describe(), isn=flow.spoofed_isn, client_isn=flow.client_isn)

    return log


def _port(port: Port) -> Dict[str, Any]:
    addresses: List[str] = list(port.addresses)
    return {"name": port.name, "mac": port.mac.hex(":"), "mtu": port.mtu, "addresses": addresses}
