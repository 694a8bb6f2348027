"""The fast datapath: the kernel crosses the middle of flows by BPF, this process all the rest as `AfPacket` does.

What the kernel does and what it leaves is said in `bpf/rewriter.bpf.c`. There is no nft table: the program on a port
drops what user space has got, and lets the router have the rest.
"""

from __future__ import annotations

import os
import pkgutil
import socket
import struct
from functools import partial
from ipaddress import IPv4Address
from typing import Any, Callable, Dict, List, Sequence, Tuple

from hopscope_nic.core.actions import CLIENT, SERVER, SIDES
from hopscope_nic.core.client_nic import ClientNic, StampClientNic
from hopscope_nic.core.segment import SYN
from hopscope_nic.core.selection import PortRange
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import port_socket
from hopscope_nic.io.afpacket import FLAGS_AT, AfPacket, Machine
from hopscope_nic.io.clsact import Filters
from hopscope_nic.io.kernel_flows import KEY_AT, VALUE, KernelFlows
from hopscope_nic.io.libbpf import Library, Map, Object

OBJECT = "bpf/rewriter.bpf.o"
SO_ATTACH_BPF = 50
_RANGES, _ADDRESSES = 16, 32
_CONFIG = struct.Struct(f"=III4x16s2III{2 * _RANGES}H{_ADDRESSES * 4}s")
_COUNTS = struct.Struct("=5Q")
SECRET_OCTETS = 16
_ZERO = bytes(4)
_LOOK_EVERY = 2.0  # seconds between looks for what was lost


def possible_processors() -> int:
    """How many values a map per processor has (/sys/devices/system/cpu/possible: "0-3,8-11")."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as text:
        ends = [part.split("-") for part in text.read().strip().split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def config(
    machine: Machine, mtus: Sequence[int], ranges: Sequence[PortRange], addresses: Sequence[str], secret: bytes
) -> bytes:
    """struct config; `mtus` are those of the client's and of the server's link. EnvironmentFault: too much of it."""
    if len(ranges) > _RANGES or len(addresses) > _ADDRESSES:
        raise EnvironmentFault(f"the bpf datapath takes {_RANGES} ranges of ports and {_ADDRESSES} own addresses")
    ports = [port for one in ranges for port in one]
    ports += [0] * (2 * _RANGES - len(ports))
    packed = b"".join(IPv4Address(address).packed for address in addresses)
    mss = machine.mss if isinstance(machine, ClientNic) else None
    return _CONFIG.pack(
        isinstance(machine, StampClientNic),
        mss is not None,
        mss or 0,
        secret,
        mtus[SERVER],
        mtus[CLIENT],
        len(ranges),
        len(addresses),
        *ports,
        packed,
    )


class Programs:
    """The programs on both ports: the `Kernel` of this datapath."""

    protocol = port_socket.ETH_P_ALL

    def __init__(self, ifindexes: Sequence[int], flows: int, told: bytes, *, links: bool = True) -> None:
        """`flows` at most; `told` is their `config`; `links`: attached by tcx links, otherwise by tc filters.

        EnvironmentFault when this machine cannot."""
        self._ifindexes = ifindexes
        self._links = links
        try:
            content = pkgutil.get_data("hopscope_nic", OBJECT) or b""
        except OSError:
            raise EnvironmentFault(f"{OBJECT} is missing (`make bpf` builds it)") from None
        library = Library()
        self._filters = Filters(library)
        self._object = Object(library, content)
        try:
            for name in ("flows", "given"):
                self._object.size(name, flows)
            self._object.load()
            self._object.map("config", _CONFIG.size).put(_ZERO, told)
            self.flows: Map = self._object.map("flows", VALUE.size)
            self._counts = self._object.map("counts", _COUNTS.size * possible_processors())
        except BaseException:
            self._object.close()
            raise

    def filter(self, side: int, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, struct.pack("i", self.program(f"filter_{SIDES[side]}")))

    def program(self, name: str) -> int:
        """Descriptor of a program, by its name in the source."""
        return self._object.program(name)

    def start(self) -> None:
        names = {self._ifindexes[side]: f"cross_{SIDES[side]}" for side in (CLIENT, SERVER)}
        if not self._links:
            self._filters.attach({ifindex: self.program(name) for ifindex, name in names.items()})
            return
        for ifindex, name in names.items():
            self._object.attach_tcx(name, ifindex)

    def stop(self) -> None:
        self._filters.close()
        self._object.close()

    def descriptors(self) -> Sequence[int]:
        return ()

    def check(self) -> None:
        pass

    def counts(self) -> Tuple[List[int], List[int], int]:
        """Segments that the kernel has carried and those that it was watched at, from the client and from the server;
        SYNs that it has forwarded, and answered on ClientNIC."""
        per_processor = _COUNTS.iter_unpack(self._counts.get(_ZERO) or bytes(_COUNTS.size))
        total = [sum(column) for column in zip(*per_processor)]  # noqa: B905 (Python 3.9)
        return total[:2], total[2:4], total[4]


class Bpf(AfPacket):
    """As `AfPacket`, for a machine that knows of an `Offload`."""

    links = True

    def _kernel_of(self, ranges: Sequence[PortRange], own_addresses: Sequence[str]) -> Programs:
        machine = self._machine
        told = config(machine, [port.mtu for port in self._ports], ranges, own_addresses, os.urandom(SECRET_OCTETS))
        programs = Programs([port.ifindex for port in self._ports], machine.flows.limit, told, links=self.links)
        self._programs = programs
        self._flows = KernelFlows(programs.flows)
        self._awaiting = False
        self._lost = 0  # frames that never got to this process, as far as that is known
        self._look_at = 0.0
        machine.offload = self._flows
        return programs

    def _close(self) -> None:
        super()._close()
        self._machine.offload = None  # another datapath may be tried

    def _receiver(self, side: int, sock: socket.socket) -> Callable[[bytearray], int]:
        settle, receive, note = self._flows.settle, sock.recv_into, partial(self._flows.note, side)

        def received(buffer: bytearray) -> int:
            settle()
            size = receive(buffer)
            if side == SERVER and buffer[FLAGS_AT] & SYN:
                self._await_syn(buffer, size)
            note(buffer)
            return size

        return received

    def _await_syn(self, buffer: bytearray, size: int) -> None:
        """A SYN that the kernel has forwarded may be answered while our copy of it waits in the other socket."""
        flows, key = self._machine.flows.by_server, bytes(buffer[KEY_AT : KEY_AT + 12])
        if key in flows or self._awaiting:
            return
        answer = bytes(buffer[:size])
        self._awaiting = True
        try:
            before = -1
            while key not in flows and self._received[CLIENT] != before:
                before = self._received[CLIENT]
                self._drain(CLIENT)
            self._flows.settle()
        finally:
            self._awaiting = False
        buffer[:size] = answer

    def _drain(self, side: int) -> None:
        if side == CLIENT or not self._awaiting:
            super()._drain(side)

    def _tick(self, now: float) -> None:
        super()._tick(now)
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            lost = self._count_overruns() + self._programs.counts()[2] - self._flows.entered
            if lost != self._lost:
                self._lost = lost
                self._carry_out(self._machine.catch_up(now), now)

    def snapshot(self) -> Dict[str, Any]:
        """Counters as the events tell them: what the kernel has let cross is in them."""
        values = super().snapshot()
        carried, watched, greeted = self._programs.counts()
        values["passed" if isinstance(self._machine, StampClientNic) else "translated"] += sum(carried + watched)
        for side, name in enumerate(SIDES):
            values[f"received_{name}"] += carried[side]
            values[f"sent_{name}"] += carried[1 - side] + watched[1 - side]
        values["sent_server"] += greeted
        if isinstance(self._machine, ClientNic):
            values["sent_client"] += greeted
        return values


class BpfByFilters(Bpf):
    """The same before Linux 6.6."""

    links = False
