"""A wire with a length: frames go in at one end and come out at the other, later. Run by path as
``python -I -S delayline.py CONFIG`` inside a lab, standard library alone.

Used where the kernel has no netem. The two ends are TAP ports inside the hosts' own namespaces, or (``packet``, for
users who may not open /dev/net/tun) the link's ends of two veths seen through AF_PACKET. Both ways a frame carries
its virtio header, so unfinished checksums and superframes cross as they are. One queue for each direction; what is
reordered waits in a second one, ``reorder_ms`` longer.

CONFIG is JSON: ``{"kind": "tap"|"packet", "a": {"netns": PATH, "port": NAME}, "b": {...}, "control": PATH,
"delay_ms", "loss", "reorder", "reorder_ms", "seed"}``. Standard output is JSON lines: ``ready`` and, after SIGHUP,
``changed`` (options are then read from the control file); ``counters`` on SIGUSR1 and ``stopped`` on TERM with what
became of the frames of both directions. Each has the options in force.
"""

import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from typing import Any

CLONE_NEWNET = 0x40000000
PR_SET_TIMERSLACK = 29
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
SOL_PACKET, PACKET_STATISTICS, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 6, 15, 23
ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33

RECEIVE_BUFFER = 64 * 1024 * 1024
FRAME = 10 + 18 + 65_536  # virtio header, Ethernet header with a VLAN tag, largest superframe
QUEUE_LIMIT = 256 * 1024 * 1024  # bytes on their way in one direction
BATCH = 64  # frames read from one end before the other has its turn
OPTIONS = ("delay_ms", "loss", "reorder", "reorder_ms")

libc = ctypes.CDLL(None, use_errno=True)


def enter(netns: str) -> None:
    fd = os.open(netns, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {netns}")
    finally:
        os.close(fd)


def open_tap(name: str) -> int:
    """A TAP port named ``name`` in the namespace entered; it lives as long as its descriptor."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    return fd


def open_packet(name: str) -> socket.socket:
    """Everything that arrives at ``name`` in the namespace entered, and the way out of it."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):  # force is root's; the other is bounded by rmem_max
        try:
            port.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER)
            break
        except PermissionError:
            continue
    port.bind((name, ETH_P_ALL))
    port.setblocking(False)
    return port


def transmit_drops(name: str) -> int:
    """Frames that the kernel could not hand to us (proc_pid_net(5), dev: the fourth column of the second half)."""
    with open("/proc/self/net/dev") as table:
        for line in table:
            port, _, columns = line.partition(":")
            if port.strip() == name:
                return int(columns.split()[11])
    return 0


class Direction:
    """One way: from where, to where, what is on its way, and what became of the rest."""

    def __init__(self, source: int, sink: int, seed: int) -> None:
        self.source = source
        self.sink = sink
        self.punctual: deque[tuple[int, bytes]] = deque()
        self.late: deque[tuple[int, bytes]] = deque()
        self.random = random.Random(seed)  # noqa: S311  (loss is to be repeatable, not secret)
        self.queued = 0
        self.blocked = False
        self.delay = self.extra = 0
        self.loss = self.reorder = 0.0
        self.packets = self.bytes = self.lost = self.reordered = self.dropped = self.refused = self.longest = 0

    def set(self, options: dict[str, float]) -> None:
        self.delay = round(options["delay_ms"] * 1e6)
        self.extra = round(options["reorder_ms"] * 1e6)
        self.loss = options["loss"]
        self.reorder = options["reorder"]

    def take(self) -> None:
        """Read what has come in, and say when each frame is due."""
        read, source, clock = os.read, self.source, time.monotonic_ns
        for _ in range(BATCH):
            try:
                frame = read(source, FRAME)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ENETDOWN, errno.EIO):  # the port is down for a moment
                    return
                raise
            due = clock() + self.delay
            if self.loss and self.random.random() < self.loss:
                self.lost += 1
                continue
            if self.queued > QUEUE_LIMIT:
                self.dropped += 1
                continue
            self.queued += len(frame)
            if self.reorder and self.random.random() < self.reorder:
                self.reordered += 1
                self.late.append((due + self.extra, frame))
            else:
                self.punctual.append((due, frame))

    def give(self) -> None:
        """Write every frame that is due."""
        self.blocked = False
        for queue in (self.punctual, self.late):
            self.longest = max(self.longest, len(queue))
            while queue and queue[0][0] <= time.monotonic_ns():
                frame = queue[0][1]
                try:
                    os.write(self.sink, frame)
                except BlockingIOError:
                    self.blocked = True
                    return
                except OSError:
                    self.refused += 1  # the port is down, or the frame is longer than its MTU
                else:
                    self.packets += 1
                    self.bytes += len(frame)
                queue.popleft()
                self.queued -= len(frame)

    def due(self) -> int | None:
        """When the next frame is due (monotonic ns); None when there is none, or none can be written."""
        if self.blocked:
            return None
        heads = [queue[0][0] for queue in (self.punctual, self.late) if queue]
        return min(heads) if heads else None

    def counters(self) -> dict[str, int]:
        names = ("packets", "bytes", "lost", "reordered", "dropped", "refused", "longest")
        return {name: getattr(self, name) for name in names} | {"left": len(self.punctual) + len(self.late)}


class Line:
    """Both directions between two ports, until told to stop."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.ports: list[socket.socket] = []
        a, b = (self._open(config[end]) for end in ("a", "b"))
        self.directions = {"a_to_b": Direction(a, b, config["seed"]), "b_to_a": Direction(b, a, config["seed"] + 1)}
        self.stopping = self.changing = self.reporting = False
        self.set(config)

    def _open(self, end: dict[str, str]) -> int:
        enter(end["netns"])
        if self.config["kind"] == "tap":
            return open_tap(end["port"])
        self.ports.append(open_packet(end["port"]))
        return self.ports[-1].fileno()

    def set(self, options: dict[str, float]) -> None:
        self.options = {name: options[name] for name in OPTIONS}
        for direction in self.directions.values():
            direction.set(self.options)

    def stop(self, *_: object) -> None:
        self.stopping = True

    def change(self, *_: object) -> None:
        self.changing = True

    def report(self, *_: object) -> None:
        self.reporting = True

    def run(self) -> None:
        ways = list(self.directions.values())
        sources = [way.source for way in ways]
        wakeup, write = os.pipe()
        for fd in (wakeup, write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write)
        while not self.stopping:
            blocked = [way.sink for way in ways if way.blocked]
            heads = [head for way in ways if (head := way.due()) is not None]
            pause = max(0, min(heads) - time.monotonic_ns()) / 1e9 if heads else None
            ready = select.select([*sources, wakeup], blocked, [], pause)[0]
            if wakeup in ready:
                os.read(wakeup, 64)
            if self.changing:
                self.changing = False
                with open(self.config["control"]) as control:
                    self.set(json.load(control))
                say({"event": "changed", "options": self.options})
            if self.reporting:
                self.reporting = False
                say({"event": "counters", "options": self.options} | self.counters())
            for way in ways:
                if way.source in ready:
                    way.take()
            for way in ways:
                way.give()

    def counters(self) -> dict[str, dict[str, int]]:
        """What became of the frames; ``missed`` are those that a full kernel queue cost before they were ours."""
        found = {name: way.counters() for name, way in self.directions.items()}
        for way, end, port in zip(found.values(), ("a", "b"), self.ports or (None, None), strict=True):
            if port is None:
                enter(self.config[end]["netns"])
                way["missed"] = transmit_drops(self.config[end]["port"])
            else:
                way["missed"] = struct.unpack("II", port.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        return found


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def prompt() -> None:
    """Be woken on time: no timer slack, no pauses for garbage, and before others, as a wire does not get longer when
    the machine is busy (with load 4 on two cores the 90th percentile of 20 ms falls from 22.2 to 20.2 ms). Real-time
    priority is root's; the kernel leaves the others a share of the processor even then (sched(7))."""
    libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    gc.disable()


def main() -> int:
    line = Line(json.loads(sys.argv[1]))
    prompt()
    signal.signal(signal.SIGTERM, line.stop)
    signal.signal(signal.SIGHUP, line.change)
    signal.signal(signal.SIGUSR1, line.report)
    say({"event": "ready", "options": line.options})
    line.run()
    say({"event": "stopped", "options": line.options} | line.counters())
    return 0


if __name__ == "__main__":
    sys.exit(main())
