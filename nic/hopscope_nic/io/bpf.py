"""The fast datapath: the kernel crosses the middle of flows by BPF, this process all the rest as `AfPacket` does.

What the kernel does and what it leaves is said in `bpf/rewriter.bpf.c`. There is no nft table: the program on a port
drops what user space has got, and lets the router have the rest.
"""

from __future__ import annotations

import os
import pkgutil
import socket
import struct
import time
from ipaddress import IPv4Address
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from hopscope_nic.core.actions import CLIENT, SERVER, SIDES
from hopscope_nic.core.client_nic import ClientNic, StampClientNic
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.segment import HEADROOM
from hopscope_nic.core.selection import PortRange
from hopscope_nic.errors import EnvironmentFault
from hopscope_nic.io import port_socket
from hopscope_nic.io.afpacket import AfPacket, Machine
from hopscope_nic.io.clsact import Filters
from hopscope_nic.io.kernel_entry import SIZE
from hopscope_nic.io.kernel_flows import KEY_OCTETS, KernelFlows
from hopscope_nic.io.libbpf import Library, Map, Object
from hopscope_nic.io.tap import Tap

OBJECT = "bpf/rewriter.bpf.o"
_RANGES, _ADDRESSES = 16, 32
_CONFIG = struct.Struct(f"=IIII16s2I2III{2 * _RANGES}H{_ADDRESSES * 4}s")
_COUNTS = struct.Struct("=9Q")
_SWEEP = struct.Struct("=10Q")
SECRET_OCTETS = 16
_ZERO = bytes(4)
_SWEEP_EVERY = 0.5  # seconds
_PATIENCE = 0.45  # seconds until a SYN without an answer is ours to send again: with the above less than `first_retry`
_CROWDED_LINGER = 0.2  # seconds, instead of `linger`, while the table is half full
_ETHERTYPE_AT, _IPV4 = HEADROOM - 2, b"\x08\x00"
_FRAME = bytes(64)  # a program has to be run on something


def possible_processors() -> int:
    """How many values a map per processor has (/sys/devices/system/cpu/possible: "0-3,8-11")."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as text:
        ends = [part.split("-") for part in text.read().strip().split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)


def config(
    machine: Machine,
    mtus: Sequence[int],
    ranges: Sequence[PortRange],
    addresses: Sequence[str],
    secret: bytes,
    taps: Sequence[int] = (1, 1),
) -> bytes:
    """struct config; `mtus` are those of the client's and of the server's link, `taps` ifindexes for what they give us.

    EnvironmentFault: too much of it."""
    if len(ranges) > _RANGES or len(addresses) > _ADDRESSES:
        raise EnvironmentFault(f"the bpf datapath takes {_RANGES} ranges of ports and {_ADDRESSES} own addresses")
    ports = [port for one in ranges for port in one]
    ports += [0] * (2 * _RANGES - len(ports))
    packed = b"".join(IPv4Address(address).packed for address in addresses)
    mss = machine.mss if isinstance(machine, ClientNic) else None
    return _CONFIG.pack(
        isinstance(machine, StampClientNic),
        mss is not None,
        not machine.tells_flows,
        mss or 0,
        secret,
        mtus[SERVER],
        mtus[CLIENT],
        *taps,
        len(ranges),
        len(addresses),
        *ports,
        packed,
    )


class Counts(NamedTuple):
    """struct count: segments by what the kernel has done with them, and by the side they came in on."""

    carried_client: int = 0
    carried_server: int = 0
    watched_client: int = 0
    watched_server: int = 0
    greeted: int = 0
    learnt: int = 0
    kept: int = 0
    repeated: int = 0
    released: int = 0


class Swept(NamedTuple):
    """The kernel's flows: how many go on, are over and remembered, and have just gone without being over."""

    open: int = 0
    over: int = 0
    expired: int = 0


class Programs:
    """The programs on both ports: the `Kernel` of this datapath."""

    protocol = port_socket.NOTHING

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
            self.flows: Map = self._object.map("flows", SIZE)
            self._counts = self._object.map("counts", _COUNTS.size * possible_processors())
            self._sweeps = self._object.map("sweeps", _SWEEP.size)
            self._calls = self._object.map("calls", KEY_OCTETS)
        except BaseException:
            self._object.close()
            raise

    def filter(self, side: int, sock: socket.socket) -> None:
        """It receives nothing."""

    def run(self, name: str, frame: bytes, room: int = 2048) -> Tuple[int, bytes]:
        """What a program, by its name in the source, makes of a frame."""
        return self._object.run(name, frame, room)

    def start(self) -> None:
        names = {self._ifindexes[side]: f"cross_{SIDES[side]}" for side in (CLIENT, SERVER)}
        if not self._links:
            self._filters.attach({ifindex: self._object.program(name) for ifindex, name in names.items()})
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

    def counts(self) -> Counts:
        """Since the beginning."""
        per_processor = _COUNTS.iter_unpack(self._counts.get(_ZERO) or bytes(_COUNTS.size))
        return Counts(*(sum(column) for column in zip(*per_processor)))  # noqa: B905 (Python 3.9)

    def sweep(self, limits: Limits, linger: float, patience: float = _PATIENCE) -> Tuple[Swept, List[bytes]]:
        """Look through the kernel's flows: what there is, and the keys of those that are ours to adopt."""
        times = linger, limits.waiting, limits.ending, limits.half_closed, limits.idle, patience
        self._sweeps.put(_ZERO, _SWEEP.pack(*(int(time * 1e9) for time in times), 0, 0, 0, 0))
        self._object.run("sweep", _FRAME, 0)
        swept = Swept(*_SWEEP.unpack(self._sweeps.get(_ZERO) or bytes(_SWEEP.size))[-3:])
        return swept, list(iter(self._calls.pop, None))


class Bpf(AfPacket):
    """As `AfPacket`, for a machine that knows of an `Offload`. Its frames come from a TAP for each port."""

    links = True

    def _kernel_of(self, ranges: Sequence[PortRange], own_addresses: Sequence[str]) -> Programs:
        machine = self._machine
        mtus, secret = [port.mtu for port in self._ports], os.urandom(SECRET_OCTETS)
        self._taps: List[Tap] = []
        try:
            for _ in SIDES:
                self._taps.append(Tap())
            told = config(machine, mtus, ranges, own_addresses, secret, [tap.ifindex for tap in self._taps])
            programs = Programs([port.ifindex for port in self._ports], machine.flows.limit, told, links=self.links)
        except BaseException:
            self._close_taps()
            raise
        self._programs = programs
        self._flows = KernelFlows(programs.flows)
        self._sweep_at = 0.0
        self._swept = Swept()
        self._counted: Optional[Tuple[Counts, Swept]] = None
        machine.offload = self._flows
        return programs

    def _close(self) -> None:
        super()._close()
        self._close_taps()
        self._machine.offload = None  # another datapath may be tried

    def _close_taps(self) -> None:
        while self._taps:
            self._taps.pop().close()

    def _input(self, side: int, sock: socket.socket) -> Tuple[int, Callable[[bytearray], int]]:
        tap = self._taps[side]
        settle, receive, note = self._flows.settle, tap.receive, self._flows.note

        def received(buffer: bytearray) -> int:
            settle()
            size = receive(buffer)
            while buffer[_ETHERTYPE_AT : _ETHERTYPE_AT + 2] != _IPV4:
                size = receive(buffer)  # the device's own word to its neighbours
            note(side, buffer)
            return size

        return tap.descriptor, received

    def _timeout(self, report_at: float) -> Optional[float]:
        wait, sweep = super()._timeout(report_at), max(0.0, self._sweep_at - time.monotonic())
        return sweep if wait is None else min(wait, sweep)

    def _tick(self, now: float) -> None:
        if now >= self._sweep_at:
            self._sweep(now)
        super()._tick(now)

    def _sweep(self, now: float) -> None:
        machine, limits = self._machine, self._machine.limits
        self._sweep_at = now + _SWEEP_EVERY
        crowded = self._swept.open + self._swept.over > machine.flows.limit // 2
        self._swept, calls = self._programs.sweep(limits, _CROWDED_LINGER if crowded else limits.linger)
        machine.counters.expired += self._swept.expired
        for key in calls:
            machine.adopt(key, now)
        counted = self._programs.counts(), self._swept
        self._active = self._active or counted != self._counted
        self._counted = counted

    def _count_overruns(self) -> None:
        self._overruns = [tap.dropped() for tap in self._taps]

    def snapshot(self) -> Dict[str, Any]:
        """Counters as the events tell them: what the kernel has done by itself is in them."""
        self._sweep(time.monotonic())
        values = super().snapshot()
        counts, swept = self._programs.counts(), self._swept
        carried, watched = counts[:2], counts[2:4]
        values["flows"] += swept.open
        values["lingering"] += swept.over
        values["passed" if isinstance(self._machine, StampClientNic) else "translated"] += sum(carried + watched)
        for side, name in enumerate(SIDES):
            values[f"received_{name}"] += carried[side]
            values[f"sent_{name}"] += carried[1 - side] + watched[1 - side]
        values["received_client"] += counts.greeted + counts.kept + counts.repeated
        values["received_server"] += counts.learnt
        values["sent_server"] += counts.greeted + counts.released
        values["syn_forwarded"] += counts.greeted
        values["synack_learnt"] += counts.learnt
        values["held"] += counts.kept
        values["released"] += counts.released
        values["translated"] += counts.released
        if counts.repeated:
            values["dropped"]["held_already"] = values["dropped"].get("held_already", 0) + counts.repeated
        if isinstance(self._machine, ClientNic):
            values["sent_client"] += counts.greeted
            values["syn_answered"] += counts.greeted
        return values


class BpfByFilters(Bpf):
    """The same before Linux 6.6."""

    links = False
