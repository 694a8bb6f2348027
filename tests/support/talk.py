"""One TCP conversation on the hosts of a lab, each end with its own manners: ``python -I talk.py serve|call …``.

serve ADDRESS PORT MANNER    accepts one connection, reads REQUEST bytes, answers RESPONSE bytes
call ADDRESS PORT MANNER     sends REQUEST bytes, reads to the end, prints one JSON object of what happened

Manners: ``last`` closes after the other end has; ``first`` closes as soon as it has said its part; ``half`` ends its
own direction and reads on; ``reset`` ends with an RST (SO_LINGER 0) once it has heard the other's part.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

REQUEST = 500
RESPONSE = 20_000
TIMEOUT = 10.0


def read(sock: socket.socket, wanted: int | None) -> int:
    """Read ``wanted`` bytes, or to the end of the stream when None; returns how many there were."""
    got = 0
    while wanted is None or got < wanted:
        piece = sock.recv(65536)
        if not piece:
            break
        got += len(piece)
    return got


def part(sock: socket.socket, manner: str, expected: int) -> int:
    """End the conversation in one's manner; returns bytes read."""
    if manner == "first":
        return 0
    if manner == "half":
        sock.shutdown(socket.SHUT_WR)
        return read(sock, None)
    if manner == "reset":
        got = read(sock, expected)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return got
    return read(sock, None)


def serve(address: str, port: int, manner: str) -> None:
    with socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        sock, _ = listener.accept()
    with sock:
        sock.settimeout(TIMEOUT)
        read(sock, REQUEST)
        sock.sendall(b"r" * RESPONSE)
        part(sock, manner, 0)


def call(address: str, port: int, manner: str) -> None:
    seen: dict[str, object] = {"connected": False, "bytes": 0, "error": None}
    try:
        with socket.create_connection((address, port), TIMEOUT) as sock:
            seen["connected"] = True
            sock.sendall(b"q" * REQUEST)
            seen["bytes"] = part(sock, manner, RESPONSE)
    except OSError as error:
        seen["error"] = type(error).__name__
    print(json.dumps(seen))


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])
