"""Open-loop TCP connections on an absolute timeline. A program of its own: standard library only, Python >= 3.9, Linux.

    python -I generator.py --target 10.1.2.10 --ports 8080,8081 --connections 2000 --rate 200

Connection i starts at t0 + i/rate whatever became of the ones before it (without a rate: all at once). Its request
leaves in one piece as soon as the kernel calls the connection established; the answer is compared byte for byte with
what the responder must send. On standard output, after the last connection: one JSON line for each, then a summary.
One that misses its deadline is watched on for a bounded grace, so that slow (``late``) is told apart from broken
(``timeout``), and its ``error`` says when what came came.
Stamps are CLOCK_REALTIME in ns and only what a program can see; the wire is the captures' to tell.

Exit codes: 0 ran (whatever the outcomes), 64 usage, 2 environment.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import hashlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, Optional

HEADER = struct.Struct("!4sIII")
"""Magic, number of the connection, bytes of this request (header included), bytes of the response wanted."""
MAGIC = b"HOPS"

PERIOD = 65521
CHUNK = 262144
PATTERN = (hashlib.shake_256(b"hopscope traffic").digest(PERIOD) * 6)[: PERIOD + CHUNK]
TO_SERVER, TO_CLIENT = 0, 1

CONNECTING, SENDING, RECEIVING, CLOSING, DONE = range(5)

#: How far the established rate may be judged: fewer samples, or a burst, say nothing about a rate.
EDGE = 0.05
TCP_CONGESTION = 13
TCP_FASTOPEN_CONNECT = 30
IP_BIND_ADDRESS_NO_PORT = 24
OTHER_FILES = 64
"""Open files that are no connection."""
FIRST_START_NS = 20_000_000
"""Between the end of set-up and the first connection."""


def pattern(connection: int, direction: int, offset: int, length: int) -> bytes:
    """At most CHUNK payload bytes of a connection and direction, from a stream offset on."""
    start = (connection * 7919 + direction * 32749 + offset) % PERIOD
    return PATTERN[start : start + length]


def request_bytes(connection: int, offset: int, size: int, response: int) -> bytes:
    """One whole request: its header, then the pattern at its place in the stream."""
    parts = [HEADER.pack(MAGIC, connection, size, response)]
    at = HEADER.size
    while at < size:
        parts.append(pattern(connection, TO_SERVER, offset + at, min(CHUNK, size - at)))
        at += len(parts[-1])
    return b"".join(parts)


class Timer:
    """A timerfd: epoll alone waits in whole milliseconds, which is the distance of connections at 1000 per second."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()
        self._armed = -1

    def at(self, when_ns: int) -> None:
        """Fire once at an absolute CLOCK_MONOTONIC time; arming clears what has fired."""
        if when_ns != self._armed:
            self._armed = when_ns
            self._spec[2], self._spec[3] = divmod(max(when_ns, 1), 1_000_000_000)
            if self._libc.timerfd_settime(self.fd, 1, ctypes.byref(self._spec), None):  # TFD_TIMER_ABSTIME
                raise OSError(ctypes.get_errno(), "timerfd_settime")


class Connection:
    __slots__ = (
        "bytes", "connect_ns", "deadline", "end_ns", "error", "first_byte_ns", "index", "late_ns", "local_port",
        "missed", "outcome", "pending", "port", "round", "sent", "sock", "start_ns", "state", "taken",
    )  # fmt: skip

    def __init__(self, index: int, port: int) -> None:
        self.index = index
        self.port = port
        self.sock: Optional[socket.socket] = None  # noqa: UP045
        self.state = CONNECTING
        self.round = 0
        self.sent = 0
        """Payload bytes of finished requests: the stream offset of the next one."""
        self.taken = 0
        """Bytes of the current response."""
        self.bytes = 0
        self.pending = memoryview(b"")
        self.local_port = 0
        self.deadline = 0
        self.late_ns = self.start_ns = self.connect_ns = self.first_byte_ns = self.end_ns = 0
        self.outcome = ""
        self.error = ""
        self.missed = ""
        """What the deadline passed in front of, in words; empty while it has not."""

    def line(self, first: int) -> dict[str, Any]:
        return {
            "i": self.index,
            "id": first + self.index,
            "local_port": self.local_port,
            "port": self.port,
            "late_ns": self.late_ns,
            "start_ns": self.start_ns,
            "connect_ns": self.connect_ns or None,
            "first_byte_ns": self.first_byte_ns or None,
            "end_ns": self.end_ns or None,
            "outcome": self.outcome,
            "bytes": self.bytes,
            "missed": self.missed or None,
            "error": self.error or None,
        }

    def came(self) -> str:
        """What came, and when: seconds since the start."""
        stamps = (("connected", self.connect_ns), ("first byte", self.first_byte_ns), ("all of it", self.end_ns))
        told = [f"{name} after {(stamp - self.start_ns) / 1e9:.3f} s" for name, stamp in stamps if stamp]
        return ", ".join(told) or "nothing came"


class Generator:
    def __init__(self, options: argparse.Namespace, files: int) -> None:
        self.options = options
        self.family = socket.AF_INET6 if ":" in options.target else socket.AF_INET
        self.connections = [
            Connection(index, options.ports[index % len(options.ports)]) for index in range(options.connections)
        ]
        self.epoll = select.epoll()
        self.timer = Timer()
        self.epoll.register(self.timer.fd, select.EPOLLIN)
        self.open: dict[int, Connection] = {}
        self.deadlines: deque[Connection] = deque()
        self.watched: deque[Connection] = deque()
        """Those that have missed their deadline, until their grace ends."""
        self.cc = options.cc.encode() if options.cc else b""
        self.stopped = False
        self.t0 = 0
        self.room = files - OTHER_FILES
        """Connections that may be open at once: the next one waits for room, which its ``late_ns`` shows."""

    def run(self) -> None:
        """Start every connection when it is due and serve the open ones until all have an outcome."""
        rate = self.options.rate
        interval = 1e9 / rate if rate else 0.0
        self.t0 = time.monotonic_ns() + FIRST_START_NS
        started, total = 0, len(self.connections)
        due = self.t0
        while (started < total or self.open) and not self.stopped:
            now = time.monotonic_ns()
            before = started
            # A few at a time, so that a late timeline does not starve the connections that are open.
            for _ in range(8):
                if started == total or due > now or len(self.open) >= self.room:
                    break
                self.start(self.connections[started], due, now)
                started += 1
                due = self.t0 + int(started * interval)
                now = time.monotonic_ns()
            if started > before:
                self.attend(0)  # who is answered at once does not wait for our books
            self.expire(now)
            if started == total and not self.open:
                break
            waiting = started < total and len(self.open) < self.room
            wake = due if waiting else min(queue[0].deadline for queue in self.queues() if queue)
            behind = waiting and due <= now
            if not behind:
                self.timer.at(wake)
            self.attend(0 if behind else -1)
        for connection in self.connections:
            if not connection.outcome:
                self.finish(connection, "error", "the generator was told to stop")

    def attend(self, timeout: float) -> None:
        """Serve whoever is ready within a timeout (seconds; -1: until somebody is)."""
        for fd, event in self.epoll.poll(timeout, 256):
            connection = self.open.get(fd)
            if connection is not None:
                self.serve(connection, event)

    def start(self, connection: Connection, due: int, now: int) -> None:
        connection.late_ns = now - due
        connection.deadline = now + int(self.options.deadline * 1e9)
        self.deadlines.append(connection)
        connection.start_ns = time.time_ns()
        try:
            sock = connection.sock = socket.socket(self.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.cc:
                sock.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, self.cc)
            if self.options.source:
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self.options.source[connection.index % len(self.options.source)], 0))
            if self.options.fast_open:
                sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            self.request(connection)
            connection.start_ns = time.time_ns()
            code = sock.connect_ex((self.options.target, connection.port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self.open[sock.fileno()] = connection
            self.epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
            connection.local_port = sock.getsockname()[1]
        except OSError as error:
            self.fail(connection, error)

    def queues(self) -> tuple[deque[Connection], deque[Connection]]:
        return self.deadlines, self.watched

    def expire(self, now: int) -> None:
        """A missed deadline begins the grace, and the end of the grace ends the connection."""
        for queue in self.queues():
            while queue and (queue[0].outcome or queue[0].deadline <= now):
                connection = queue.popleft()
                if connection.outcome:
                    continue
                if not connection.missed:
                    connection.missed = self.missing(connection)
                    if self.options.grace:
                        connection.deadline += int(self.options.grace * 1e9)
                        self.watched.append(connection)
                        continue
                self.finish(connection, "timeout")

    def missing(self, connection: Connection) -> str:
        waiting = ("to connect", "to send", "for the response", "for the server's FIN")[connection.state]
        return f"{self.options.deadline:g} s were not enough {waiting}"

    def serve(self, connection: Connection, event: int) -> None:
        sock = connection.sock
        assert sock is not None
        try:
            if connection.state == CONNECTING:
                if event & (select.EPOLLERR | select.EPOLLHUP):
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    raise OSError(code, os.strerror(code))
                if not event & select.EPOLLOUT:
                    return
                connection.connect_ns = time.time_ns()
                connection.state = SENDING
            if connection.state == SENDING:
                self.send(connection, sock)
            if connection.state != CONNECTING and event & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLERR):
                self.receive(connection, sock)
        except OSError as error:
            self.fail(connection, error)

    def request(self, connection: Connection) -> None:
        options = self.options
        data = request_bytes(options.first + connection.index, connection.sent, options.request, options.response)
        connection.pending = memoryview(data)
        connection.sent += options.request
        connection.taken = 0

    def send(self, connection: Connection, sock: socket.socket) -> None:
        try:
            while connection.pending:
                connection.pending = connection.pending[sock.send(connection.pending) :]
        except BlockingIOError:
            return
        connection.state = RECEIVING
        if not self.options.response:
            self.answered(connection, sock)

    def receive(self, connection: Connection, sock: socket.socket) -> None:
        options = self.options
        while connection.state in (SENDING, RECEIVING, CLOSING):
            try:
                data = sock.recv(CHUNK)
            except BlockingIOError:
                return
            if not data:
                self.ended(connection)
                return
            if not connection.first_byte_ns:
                connection.first_byte_ns = time.time_ns()
            offset = connection.bytes
            connection.bytes += len(data)
            connection.taken += len(data)
            wanted = pattern(options.first + connection.index, TO_CLIENT, offset, len(data))
            if data != wanted:
                at = next(i for i, pair in enumerate(zip(data, wanted)) if pair[0] != pair[1])  # noqa: B905
                self.finish(connection, "error", f"response differs at byte {offset + at} from what was to be sent")
                return
            if connection.state != RECEIVING or connection.taken > options.response:
                self.finish(connection, "error", f"{connection.bytes} bytes came: more than was asked for")
                return
            if connection.taken == options.response:
                self.answered(connection, sock)

    def answered(self, connection: Connection, sock: socket.socket) -> None:
        """A response is whole: the next round, or the close that was asked for."""
        connection.end_ns = time.time_ns()
        connection.round += 1
        if connection.round < self.options.rounds:
            self.request(connection)
            connection.state = SENDING
            self.send(connection, sock)
        elif self.options.close == "rst":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.finish(connection, "ok")
        else:
            connection.state = CLOSING
            sock.shutdown(socket.SHUT_WR)

    def ended(self, connection: Connection) -> None:
        """End of file: orderly only when everything has come."""
        if connection.state == CLOSING:
            self.finish(connection, "ok")
        else:
            wanted = self.options.response * self.options.rounds
            self.finish(connection, "short", f"closed by the server after {connection.bytes} of {wanted} bytes")

    def fail(self, connection: Connection, error: OSError) -> None:
        outcome = {
            errno.ECONNREFUSED: "refused",
            errno.ECONNRESET: "reset",
            errno.EPIPE: "reset",
            errno.ETIMEDOUT: "timeout",
        }.get(error.errno or 0, "error")
        self.finish(connection, outcome, error.strerror or str(error))

    def finish(self, connection: Connection, outcome: str, error: str = "") -> None:
        connection.outcome = "late" if connection.missed and outcome == "ok" else outcome
        connection.error = self.words(connection, error) if connection.missed else error
        connection.state = DONE
        if connection.sock is not None:
            if outcome == "timeout":  # given up: its kernel is not to go on sending long after the run
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.open.pop(connection.sock.fileno(), None)
            connection.sock.close()
            connection.sock = None

    def words(self, connection: Connection, error: str) -> str:
        """The error of a connection that has missed its deadline."""
        grace = self.options.grace
        if connection.outcome == "late":
            closed = f", closed after {(time.time_ns() - connection.start_ns) / 1e9:.3f} s"
            return f"{connection.missed}: {connection.came()}{closed}"
        if connection.outcome == "timeout" and not error:
            return connection.missed + (f": {connection.came()}, and no more in {grace:g} s of grace" if grace else "")
        since = (time.time_ns() - connection.start_ns) / 1e9
        return f"{connection.missed}: {connection.came()}, then {error} after {since:.3f} s"

    def summary(self) -> dict[str, Any]:
        outcomes: dict[str, int] = {}
        for connection in self.connections:
            outcomes[connection.outcome] = outcomes.get(connection.outcome, 0) + 1
        established = [each.connect_ns for each in self.connections if each.connect_ns]
        rate = self.options.rate
        return {
            "asked": len(self.connections),
            "established": len(established),
            "completed": outcomes.get("ok", 0),
            "outcomes": outcomes,
            "requested_rate": rate,
            "established_rate": established_rate(established, len(self.connections), rate),
            "late_max_ns": max(each.late_ns for each in self.connections),
            "cc": congestion_control(self.family, self.options.cc),
            "stopped": self.stopped,
        }


def established_rate(stamps: list[int], asked: int, rate: Optional[float]) -> Optional[float]:  # noqa: UP045
    """Connections established per second, over the timeline that was asked for or the longer one that they took.

    The longer one is measured between the 5 % and the 95 % quantile of the stamps, so that one retransmitted SYN
    does not stretch it. None without a rate.
    """
    if not rate or not asked:
        return None
    span = asked / rate
    count = len(stamps)
    edge = max(1, int(count * EDGE))
    if count > 2 * edge + 1:
        ordered = sorted(stamps)
        inner = (ordered[count - 1 - edge] - ordered[edge]) / 1e9
        span = max(span, inner * count / (count - 1 - 2 * edge))
    return count / span


def congestion_control(family: int, name: Optional[str]) -> str:  # noqa: UP045
    """What a socket really uses after asking for ``name``. OSError when the kernel refuses it."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if name:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, name.encode())
        return sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).split(b"\0")[0].decode()


def port_space(low: int, high: int, addresses: int, ports: int) -> int:
    """How many connections the client can have: each address and server port takes the whole local range once."""
    return (high - low + 1) * addresses * ports


def port_list(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="generator", description="open-loop TCP connections on an absolute timeline")
    parser.add_argument("--target", required=True)
    parser.add_argument("--ports", required=True, type=port_list)
    parser.add_argument("--connections", required=True, type=int)
    parser.add_argument("--rate", type=float, help="connections per second; without it all at once")
    parser.add_argument("--request", type=int, default=100, help="bytes, its 16-byte header included")
    parser.add_argument("--response", type=int, default=1024, help="bytes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cc", help="congestion control of each socket")
    parser.add_argument("--fast-open", action="store_true", help="requests in the SYN once a server gave a cookie")
    parser.add_argument("--deadline", type=float, default=10.0, help="seconds for each connection, from its start")
    parser.add_argument("--grace", type=float, default=0.0, help="seconds to watch on after a missed deadline")
    parser.add_argument("--close", choices=("fin", "rst"), default="fin")
    parser.add_argument("--source", type=lambda text: text.split(","), default=[], help="addresses to connect from")
    parser.add_argument("--first", type=int, default=0, help="number of the first connection: it varies the payload")
    options = parser.parse_args(argv)
    sizes_fit = HEADER.size <= options.request < 2**32 and 0 <= options.response < 2**32
    if not sizes_fit or options.rounds < 1 or options.connections < 1:
        parser.error(f"a request has at least {HEADER.size} bytes (its header); connections and rounds at least 1")
    if options.rate is not None and not 0 < options.rate <= 1e6:
        parser.error("a rate is above 0, at most 1e6 per second")
    if not 0 < options.deadline <= 86400:
        parser.error("a deadline is above 0, at most a day")
    if not 0 <= options.grace <= 3600:
        parser.error("a grace is 0 to an hour")
    if not options.ports or not all(0 < port < 65536 for port in options.ports):
        parser.error("ports are 1 to 65535")
    return options


def check_port_space(options: argparse.Namespace) -> Optional[str]:  # noqa: UP045
    """Why the connections cannot all be made, or None."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low, high = (int(each) for each in file.read().split())
    addresses, ports = max(1, len(options.source)), len(set(options.ports))
    space = port_space(low, high, addresses, ports)
    if options.connections <= space:
        return None
    return (
        f"{options.connections} connections do not fit: {addresses} client address(es) x {ports} server port(s) x "
        f"{high - low + 1} local ports ({low}-{high}) = {space}; give more --ports or --source addresses"
    )


def raise_file_limit(wanted: int) -> int:
    """Allow as many open files as are wanted, or as many as may be; returns how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return wanted if soft == resource.RLIM_INFINITY else soft


def main(argv: list[str]) -> int:
    try:
        options = parse(argv)
    except SystemExit as end:
        return 64 if end.code else 0
    problem = check_port_space(options)
    if problem:
        print(f"generator: {problem}", file=sys.stderr)
        return 64
    allowed = raise_file_limit(options.connections + OTHER_FILES)
    if not options.rate and allowed < options.connections + OTHER_FILES:
        problem = f"{options.connections} connections at once need as many open files and the limit is {allowed}: "
        problem += "raise `ulimit -Hn`, or give a --rate"
    try:
        congestion_control(socket.AF_INET, options.cc)
    except OSError as error:
        problem = f"congestion control {options.cc!r} is refused: {error.strerror}"
    if problem:
        print(f"generator: {problem}", file=sys.stderr)
        return 2
    generator = Generator(options, allowed)

    def stop(signum: int, frame: object) -> None:
        generator.stopped = True
        generator.timer.at(1)

    signal.signal(signal.SIGTERM, stop)
    generator.run()
    lines = [json.dumps(each.line(options.first)) for each in generator.connections]
    lines.append(json.dumps({"summary": generator.summary()}))
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
