"""TCP conversations on the hosts of a lab, each end with its own manners: ``python -I talk.py serve|call|again …``.

serve ADDRESS PORT MANNER [COUNT]          accepts COUNT connections (1), one after the other: reads REQUEST bytes,
                                           answers RESPONSE bytes
call ADDRESS PORT MANNER                   sends REQUEST bytes, reads to the end
again ADDRESS PORT MANNER COUNT FROM_PORT  COUNT calls one after the other, all from one port of the client

``call`` and ``again`` print one JSON object of what happened for each call.

Manners: ``last`` closes after the other end has; ``first`` closes as soon as it has said its part; ``half`` ends its
own direction and reads on; ``reset`` ends with an RST (SO_LINGER 0) once the other has, or has acknowledged, all.
"""

from __future__ import annotations

import errno
import fcntl
import json
import socket
import struct
import sys
import time

REQUEST = 500
RESPONSE = 20_000
TIMEOUT = 10.0
SIOCOUTQ = 0x5411
"""Bytes that are sent and not acknowledged, or not sent (tcp(7))."""


def read(sock: socket.socket, wanted: int | None, seen: dict[str, object]) -> None:
    """Read ``wanted`` bytes, or to the end of the stream when None; ``seen["bytes"]`` counts them."""
    got = 0
    while wanted is None or got < wanted:
        piece = sock.recv(65536)
        if not piece:
            break
        got += len(piece)
        seen["bytes"] = got


def acknowledged(sock: socket.socket) -> None:
    """Wait until the other end has acknowledged everything."""
    deadline = time.monotonic() + TIMEOUT
    while struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQ, b"\0\0\0\0"))[0] and time.monotonic() < deadline:
        time.sleep(0.001)


def part(sock: socket.socket, manner: str, expected: int, seen: dict[str, object]) -> None:
    """End the conversation in one's manner."""
    if manner == "first":
        return
    if manner == "reset":
        read(sock, expected, seen)
        acknowledged(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return
    if manner == "half":
        sock.shutdown(socket.SHUT_WR)
    read(sock, None, seen)


def serve(address: str, port: int, manner: str, count: int = 1) -> None:
    with socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        for _ in range(count):
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(TIMEOUT)
                try:
                    read(sock, REQUEST, {})
                    sock.sendall(b"r" * RESPONSE)
                    part(sock, manner, 0, {})
                except OSError as error:
                    print(type(error).__name__, flush=True)


def connect(sock: socket.socket, end: tuple[str, int]) -> None:
    """Connect; where the last connection of these very ports has not quite ended, as soon as it has."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return sock.connect(end)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def call(address: str, port: int, manner: str, source: tuple[str, int] | None = None) -> None:
    seen: dict[str, object] = {"connected": False, "bytes": 0, "error": None}
    sock = socket.socket()
    sock.settimeout(TIMEOUT)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        with sock:
            if source is not None:
                sock.bind(source)
            connect(sock, (address, port))
            seen["connected"] = True
            sock.sendall(b"q" * REQUEST)
            part(sock, manner, RESPONSE, seen)
    except OSError as error:
        seen["error"] = type(error).__name__
    print(json.dumps(seen), flush=True)


def again(address: str, port: int, manner: str, count: int, from_port: int) -> None:
    for _ in range(count):
        call(address, port, manner, ("", from_port))


if __name__ == "__main__":
    what, address, port, manner, *numbers = sys.argv[1:]
    {"serve": serve, "call": call, "again": again}[what](address, int(port), manner, *map(int, numbers))
