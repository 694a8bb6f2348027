"""The portable datapath: a packet socket per port, epoll, and a machine that decides.

The kernel still receives every selected frame as well; `KernelForwardingStopped` makes it drop them. Frames go out with
the port's own source MAC and the next hop's as destination.
"""

from __future__ import annotations

import errno
import gc
import select
import signal
import socket
import time
import traceback
from functools import partial
from types import FrameType
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Sequence, Tuple

from hopscope_nic.core.actions import CLIENT, SERVER, SIDES, Action, Actions, Send
from hopscope_nic.core.counters import Counters
from hopscope_nic.core.flow import Flow
from hopscope_nic.core.flow_table import FlowTable
from hopscope_nic.core.hold import HoldPool
from hopscope_nic.core.limits import Limits
from hopscope_nic.core.offload import Offload
from hopscope_nic.core.segment import HEADROOM, PASSED, SYN, Segment
from hopscope_nic.core.selection import PortRange
from hopscope_nic.io import bpf_filter, next_hop, port_socket
from hopscope_nic.io.events import Events
from hopscope_nic.io.kernel_forwarding import KernelForwardingStopped
from hopscope_nic.io.netlink import Changes, Netlink
from hopscope_nic.io.next_hop import NextHops
from hopscope_nic.io.ports import Port

_BATCH = 64  # frames of one port before the other one has its turn
FLAGS_AT = HEADROOM + 33  # of TCP, behind an IPv4 header without options: a SYN is in too much of a hurry to be tried
_REPORT = 1.0  # seconds between counters
_STOP = (signal.SIGTERM, signal.SIGINT)
_SEND_FAULTS = {errno.EMSGSIZE: "larger_than_mtu", errno.ENOBUFS: "transmit_full", errno.EAGAIN: "transmit_full"}


class Machine(Protocol):
    """What the datapath needs of `HoldClientNic`, `StampClientNic` or `ServerNic`."""

    limits: Limits
    tells_flows: bool
    counters: Counters
    flows: FlowTable
    pool: HoldPool
    server_is_near: bool
    offload: Optional[Offload]

    def respond(self, side: int, segment: Segment, now: float) -> Iterable[Action]:
        """Decide about one segment."""

    def cross(self, side: int, buffer: bytearray, size: int, partial: bool, now: float) -> bool:
        """Translate an ordinary frame in place; False: it has to be received."""

    def tick(self, now: float) -> Actions:
        """Run the timers."""

    def next_deadline(self) -> Optional[float]:
        """When the next timer is due."""

    def adopt(self, key: bytes, now: float) -> Optional[Flow]:
        """Go on with a flow that the `offload` has had to itself."""


class Kernel(Protocol):
    """How the kernel is kept from forwarding what this process sends itself, and the sockets from what it does not."""

    protocol: int
    """Of the packet sockets (`port_socket.ETH_P_IP` or `ETH_P_ALL`)."""

    def filter(self, side: int, sock: socket.socket) -> None:
        """Let a packet socket on `side` see what is to be received, and nothing else. OSError when it cannot."""

    def start(self) -> None:
        """EnvironmentFault when it cannot."""

    def stop(self) -> None:
        """At the end; also of a start that has failed."""

    def descriptors(self) -> Sequence[int]:
        """Readable when `check` has something to say."""

    def check(self) -> None:
        """EnvironmentFault when it is not as it was started."""


class _Stopped:
    """An nft table drops all selected flows where they arrive."""

    protocol = port_socket.ETH_P_IP

    def __init__(self, ports: Tuple[Port, Port], ranges: Sequence[PortRange], own_addresses: Sequence[str]) -> None:
        self._table = KernelForwardingStopped(ports[CLIENT].name, ports[SERVER].name, ranges, own_addresses)
        self._programs = [
            bpf_filter.program(ranges, offset, own_addresses)
            for offset in (bpf_filter.DESTINATION_PORT, bpf_filter.SOURCE_PORT)
        ]
        self.check = self._table.check

    def filter(self, side: int, sock: socket.socket) -> None:
        bpf_filter.attach(sock, self._programs[side])

    def start(self) -> None:
        self._table.__enter__()

    def stop(self) -> None:
        self._table.__exit__(None, None, None)

    def descriptors(self) -> Sequence[int]:
        return (self._table.fileno(),)


class AfPacket:
    """Context manager over sockets and the nft table; `run` returns when a signal asks for it."""

    def __init__(
        self,
        machine: Machine,
        ports: Tuple[Port, Port],
        ranges: Sequence[PortRange],
        own_addresses: Sequence[str],
        netlink: Netlink,
        events: Events,
    ) -> None:
        """`ports` are the client side's and the server side's; `own_addresses` are never rewritten."""
        self._machine = machine
        self._ports = ports
        self._events = events
        self._netlink = netlink
        self._kernel = self._kernel_of(ranges, own_addresses)
        self._hops = [NextHops(port, netlink) for port in ports]
        self._resends = [partial(self._resend, port.ifindex) for port in ports]
        self._sockets: List[socket.socket] = []
        self._inputs: List[int] = []
        self._receivers: List[Callable[[bytearray], int]] = []
        self._changes = Changes()
        self._segment = Segment()
        self._buffer = bytearray(port_socket.MAX_FRAME)
        self._view = memoryview(self._buffer)
        self._received = [0, 0]
        self._sent = [0, 0]
        self._overruns = [0, 0]
        self._active = False

    def _kernel_of(self, ranges: Sequence[PortRange], own_addresses: Sequence[str]) -> Kernel:
        """Who keeps the kernel from what is ours."""
        return _Stopped(self._ports, ranges, own_addresses)

    def _input(self, side: int, sock: socket.socket) -> Tuple[int, Callable[[bytearray], int]]:
        """Where the frames of a port come from: the descriptor, and what receives one frame and gives its size."""
        return sock.fileno(), sock.recv_into

    def __enter__(self) -> AfPacket:
        """Listen first, then stop the kernel, so that no SYN falls in between. EnvironmentFault when either fails."""
        try:
            for side in (CLIENT, SERVER):
                attach = partial(self._kernel.filter, side)
                sock = port_socket.open_port(self._ports[side], attach, self._kernel.protocol)
                self._sockets.append(sock)
                descriptor, receive = self._input(side, sock)
                self._inputs.append(descriptor)
                self._receivers.append(receive)
            for hops in self._hops:
                hops.warm_up()
            self._kernel.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *failure: Any) -> None:
        self._close()

    def _close(self) -> None:
        self._kernel.stop()
        for sock in self._sockets:
            sock.close()
        self._changes.close()

    def run(self) -> None:
        """Until SIGTERM or SIGINT. SIGUSR1 has the counters written at once."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        previous_fd = signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        previous = {number: signal.signal(number, _woken) for number in (*_STOP, signal.SIGUSR1)}
        poller = select.epoll()
        watched = (*self._inputs, wake_read.fileno(), self._changes.fileno(), *self._kernel.descriptors())
        for descriptor in watched:
            poller.register(descriptor, select.EPOLLIN)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)  # the packet path makes no cycles; a collection is a pause in it
        try:
            self._loop(poller, wake_read)
        finally:
            poller.close()
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous.items():
                signal.signal(number, handler)
            wake_read.close()
            wake_write.close()
        self._events.counters(self.snapshot(), always=True)

    def _loop(self, poller: select.epoll, wake: socket.socket) -> None:
        descriptors = {descriptor: side for side, descriptor in enumerate(self._inputs)}
        kernel = self._kernel.descriptors()
        report_at = time.monotonic() + _REPORT
        while True:
            for descriptor, _ in poller.poll(self._timeout(report_at)):
                side = descriptors.get(descriptor)
                if side is not None:
                    self._drain(side)
                elif descriptor in kernel:
                    self._kernel.check()
                elif descriptor == wake.fileno():
                    numbers = wake.recv(4096)
                    if any(number in _STOP for number in numbers):
                        return
                    self._events.counters(self.snapshot(), always=True)
                else:
                    by_index = {self._ports[side].ifindex: self._hops[side] for side in (CLIENT, SERVER)}
                    next_hop.apply_changes(self._changes, by_index, self._resend)
            now = time.monotonic()
            self._tick(now)
            if now >= report_at:
                report_at = now + _REPORT
                if self._active:
                    self._active = False
                    self._events.counters(self.snapshot())

    def _timeout(self, report_at: float) -> Optional[float]:
        """Seconds until the next timer; None to wait for a frame."""
        deadlines = [hops.next_deadline() for hops in self._hops]
        deadlines.append(self._machine.next_deadline())
        if self._active:
            deadlines.append(report_at)
        times = [deadline for deadline in deadlines if deadline is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _tick(self, now: float) -> None:
        deadline = self._machine.next_deadline()
        if deadline is not None and deadline <= now:
            self._active = True
            try:
                self._carry_out(self._machine.tick(now), now)
            except Exception:
                self._events.error("tick", traceback.format_exc())
        for side, hops in enumerate(self._hops):
            for _ in range(hops.tick(now, self._resends[side])):
                self._machine.counters.drop(next_hop.UNRESOLVED)

    def _drain(self, side: int) -> None:
        """Handle what one port has received, up to a batch."""
        receive = self._receivers[side]
        buffer, segment, machine = self._buffer, self._segment, self._machine
        self._active = True
        cross, out, view = machine.cross, 1 - side, self._view
        headers = self._hops[out].headers
        largest = HEADROOM + self._ports[out].mtu
        now = time.monotonic()
        for _ in range(_BATCH):
            try:
                size = receive(buffer)
            except BlockingIOError:
                return
            except OSError as error:
                machine.counters.drop(f"receive_{errno.errorcode.get(error.errno or 0, 'error').lower()}")
                return
            self._received[side] += 1
            offload = buffer[0]
            superframe = buffer[1] != 0
            if (
                not buffer[FLAGS_AT] & SYN
                and (size <= largest or superframe)
                and cross(side, buffer, size, bool(offload & port_socket.NEEDS_CHECKSUM), now)
            ):
                header = headers.get(bytes(buffer[HEADROOM + 16 : HEADROOM + 20]))
                if header is None:
                    self._emit(out, buffer, size, now)
                else:
                    buffer[10:24] = header
                    buffer[0] = offload & port_socket.NEEDS_CHECKSUM
                    self._transmit(out, view[:size])
                continue
            reason = segment.load(
                buffer,
                HEADROOM,
                size,
                bool(offload & port_socket.NEEDS_CHECKSUM),
                bool(offload & port_socket.DATA_VALID),
                superframe,
            )
            if reason is not None:
                if reason in PASSED:
                    machine.counters.passed += 1
                else:
                    machine.counters.drop(reason)
                continue
            opens = segment.flags & SYN
            if opens:
                self._hops[side].learn(bytes(buffer[HEADROOM + 12 : HEADROOM + 16]), bytes(buffer[16:22]))
            now = time.monotonic()
            try:
                self._carry_out(machine.respond(side, segment, now), now)
            except Exception:
                machine.counters.drop("internal_error")
                self._events.error("receive", traceback.format_exc())
            if opens and side == CLIENT and machine.server_is_near:
                self._drain(SERVER)  # its SYN-ACK is there by now, and what comes behind the SYN need not be held

    def _carry_out(self, actions: Iterable[Action], now: float) -> None:
        for action in actions:
            if type(action) is Send:
                self._emit(action.side, action.packet.buffer, action.packet.end, now)

    def _emit(self, side: int, buffer: bytearray, end: int, now: float) -> None:
        """Send the frame buffer[:end] out of a port, to the next hop of its destination."""
        destination = bytes(buffer[HEADROOM + 16 : HEADROOM + 20])
        hops = self._hops[side]
        header = hops.headers.get(destination)
        if header is None:
            reason = hops.find(destination, buffer[:end], now)
            if reason is not None:
                if reason:
                    self._machine.counters.drop(reason)
                return
            header = hops.headers[destination]
        buffer[10:24] = header
        buffer[0] &= port_socket.NEEDS_CHECKSUM
        self._transmit(side, memoryview(buffer)[:end])

    def _transmit(self, side: int, frame: memoryview) -> None:
        try:
            self._sockets[side].send(frame)
            self._sent[side] += 1
        except OSError as error:
            code = error.errno or 0
            reason = _SEND_FAULTS.get(code) or f"transmit_{errno.errorcode.get(code, 'error').lower()}"
            self._machine.counters.drop(reason)

    def _resend(self, index: int, destination: bytes, frame: bytearray) -> None:
        """Send a packet whose next hop has been resolved."""
        side = CLIENT if index == self._ports[CLIENT].ifindex else SERVER
        frame[10:24] = self._hops[side].headers[destination]
        frame[0] &= port_socket.NEEDS_CHECKSUM
        self._transmit(side, memoryview(frame))

    def _count_overruns(self) -> None:
        """Frames of both ports so far that were lost because nobody read them in time."""
        for side, sock in enumerate(self._sockets):
            self._overruns[side] += port_socket.overruns(sock)

    def snapshot(self) -> Dict[str, Any]:
        """Counters as the events tell them."""
        self._count_overruns()
        return {
            **self._machine.flows.snapshot(),
            "held_bytes": self._machine.pool.octets,
            **self._machine.counters.snapshot(),
            **{f"received_{name}": self._received[side] for side, name in enumerate(SIDES)},
            **{f"sent_{name}": self._sent[side] for side, name in enumerate(SIDES)},
            **{f"overrun_{name}": self._overruns[side] for side, name in enumerate(SIDES)},
        }


def _woken(number: int, frame: Optional[FrameType]) -> None:
    """The wake-up descriptor says all; a handler must exist for it to be written."""
