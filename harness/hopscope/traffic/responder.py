"""The server of the generator's connections. A program of its own: standard library only, Python >= 3.9, Linux.

    python -I responder.py --bind 10.1.2.10 --ports 8080,8081,8082,8083

Each request names its own length and the length of the answer it wants. Requests are compared byte for byte with what
the generator must send; one that differs is counted as corrupt and its connection reset. The client closes first, the
server closes on its end of file. JSON lines on standard output: ``ready``, ``counters`` on SIGUSR1, ``stopped`` with
the last counters on SIGTERM (exit 0). Exit 64 usage, 2 environment (a port taken, a refused congestion control).
"""

from __future__ import annotations

import argparse
import contextlib
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
from typing import Any, Optional

# The wire format is the generator's; both files are copied to hosts one by one, so neither imports the other.
HEADER = struct.Struct("!4sIII")
MAGIC = b"HOPS"
PERIOD = 65521
CHUNK = 262144
PATTERN = (hashlib.shake_256(b"hopscope traffic").digest(PERIOD) * 6)[: PERIOD + CHUNK]
TO_SERVER, TO_CLIENT = 0, 1

TCP_CONGESTION = 13
TCP_FASTOPEN = 23
BACKLOG = 65535
"""Asked for; the kernel takes no more than net.core.somaxconn."""
FAST_OPENS = 1024
"""Connections whose request came with the SYN and whose handshake is not over: RFC 7413, 5.1."""
ACCEPTS = 64
"""At most this many in one go, so that open connections are served in between."""
SHOWN = 20
"""Complaints written to standard error; the rest is only counted."""


def pattern(connection: int, direction: int, offset: int, length: int) -> bytes:
    start = (connection * 7919 + direction * 32749 + offset) % PERIOD
    return PATTERN[start : start + length]


class Peer:
    """One accepted connection. ``got`` and ``sent`` are stream offsets; ``left`` is what is missing of a request."""

    __slots__ = ("answer", "answered", "got", "header", "left", "number", "sent", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number = 0
        self.header = b""
        self.left = 0
        self.got = 0
        self.answer = 0
        """Bytes of the response that are still to be sent."""
        self.answered = 0
        self.sent = 0


class Responder:
    def __init__(self, options: argparse.Namespace) -> None:
        self.epoll = select.epoll()
        self.listeners: dict[int, socket.socket] = {}
        self.peers: dict[int, Peer] = {}
        self.counters = dict.fromkeys(
            ("accepted", "requests", "responses", "bytes_in", "bytes_out", "closed", "reset", "short", "corrupt"), 0
        )
        self.complaints = 0
        self.stopped = False
        self.cc = ""
        for port in options.ports:
            self.listen(options, port)
        self.wake_read, self.wake_write = socket.socketpair()
        for end in (self.wake_read, self.wake_write):
            end.setblocking(False)
        self.epoll.register(self.wake_read.fileno(), select.EPOLLIN)

    def listen(self, options: argparse.Namespace, port: int) -> None:
        family = socket.AF_INET6 if ":" in options.bind else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.cc:
            try:
                listener.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, options.cc.encode())
            except OSError as error:
                raise OSError(error.errno, f"congestion control {options.cc!r} is refused: {error.strerror}") from None
        self.cc = listener.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).split(b"\0")[0].decode()
        if options.fast_open:
            listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, FAST_OPENS)
        listener.bind((options.bind, port))
        listener.listen(BACKLOG)
        self.listeners[listener.fileno()] = listener
        self.epoll.register(listener.fileno(), select.EPOLLIN)

    def run(self) -> None:
        while not self.stopped:
            for fd, event in self.epoll.poll(-1, 256):
                if fd in self.listeners:
                    self.accept(self.listeners[fd])
                elif fd in self.peers:
                    self.serve(self.peers[fd], event)
                else:
                    self.woken()
        self.say("stopped")

    def accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # gone before it was accepted, or no file left: the next poll tries again
                self.complain(f"accept: {error}")
                return
            sock.setblocking(False)
            self.counters["accepted"] += 1
            self.peers[sock.fileno()] = Peer(sock)
            self.epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
            self.serve(self.peers[sock.fileno()], select.EPOLLIN)  # its request may have come with the handshake

    def serve(self, peer: Peer, event: int) -> None:
        try:
            while True:
                if peer.answer and not peer.left and not self.send(peer):
                    return
                if not self.receive(peer):
                    return
        except OSError:
            self.counters["reset"] += 1
            self.close(peer)

    def receive(self, peer: Peer) -> bool:
        """Read until a request is whole: True when its answer can be sent, False when there is nothing to do now."""
        while True:
            try:
                # Never beyond this request: what follows is the next one's.
                data = peer.sock.recv(min(CHUNK, peer.left) if peer.left else HEADER.size - len(peer.header))
            except BlockingIOError:
                return False
            if not data:
                self.counters["short" if peer.header or peer.left else "closed"] += 1
                self.close(peer)
                return False
            self.counters["bytes_in"] += len(data)
            if peer.left:
                if data != pattern(peer.number, TO_SERVER, peer.got, len(data)):
                    self.refuse(
                        peer,
                        f"request of connection {peer.number} differs within bytes {peer.got}-{peer.got + len(data)}",
                    )
                    return False
                peer.got += len(data)
                peer.left -= len(data)
            else:
                peer.header += data
                if len(peer.header) < HEADER.size:
                    continue
                magic, peer.number, size, peer.answer = HEADER.unpack(peer.header)
                if magic != MAGIC or size < HEADER.size:
                    self.refuse(peer, f"no request of the generator: {peer.header.hex()}")
                    return False
                peer.got += HEADER.size
                peer.left = size - HEADER.size
            if not peer.left:
                peer.header = b""
                self.counters["requests"] += 1
                return True

    def send(self, peer: Peer) -> bool:
        """Send what is left of the answer: True when it is out."""
        while peer.answer:
            try:
                sent = peer.sock.send(pattern(peer.number, TO_CLIENT, peer.sent, min(CHUNK, peer.answer)))
            except BlockingIOError:
                return False
            peer.sent += sent
            peer.answer -= sent
            self.counters["bytes_out"] += sent
        self.counters["responses"] += 1
        return True

    def refuse(self, peer: Peer, why: str) -> None:
        """Reset a connection whose bytes are not what was sent, so that the client cannot take it for good."""
        self.counters["corrupt"] += 1
        self.complain(why)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(peer)

    def close(self, peer: Peer) -> None:
        self.peers.pop(peer.sock.fileno(), None)
        peer.sock.close()

    def complain(self, text: str) -> None:
        self.complaints += 1
        if self.complaints <= SHOWN:
            print(f"responder: {text}", file=sys.stderr, flush=True)

    def woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self.wake_read.recv(64):
                if number == signal.SIGUSR1:
                    self.say("counters")
                elif number in (signal.SIGTERM, signal.SIGINT):
                    self.stopped = True

    def say(self, event: str, **facts: Any) -> None:
        line = {"event": event, **facts, **self.counters, "open": len(self.peers), "time_ns": time.time_ns()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def somaxconn() -> Optional[int]:  # noqa: UP045
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        return int(file.read())
    return None


def port_list(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="responder", description="the server of the generator's connections")
    parser.add_argument("--bind", default="0.0.0.0", help="address to listen on")  # noqa: S104
    parser.add_argument("--ports", required=True, type=port_list)
    parser.add_argument("--cc", help="congestion control of each socket")
    parser.add_argument("--fast-open", action="store_true", help="take requests that come with the SYN")
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:
        return 64 if end.code else 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        responder = Responder(options)
    except OSError as error:
        print(f"responder: {options.bind} ports {options.ports}: {error.strerror}", file=sys.stderr)
        return 2
    signal.set_wakeup_fd(responder.wake_write.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda signum, frame: None)
    responder.say(
        "ready", ports=options.ports, cc=responder.cc, backlog=min(BACKLOG, somaxconn() or BACKLOG), pid=os.getpid()
    )
    responder.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
