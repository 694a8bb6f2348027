"""Bytes both ways over one TCP connection, each side's hashed by both. A program of its own, standard library alone:

    python -I -S copier.py serve ADDRESS PORT BYTES SECONDS
    python -I -S copier.py connect ADDRESS PORT BYTES SECONDS

Each side sends BYTES random bytes and takes BYTES, at the same time. Standard output is one JSON object:
``{"sent": N, "sent_sha256": …, "received": N, "received_sha256": …}``, with ``error`` where it did not come to an end.
``serve`` says ``listening`` on standard error first.
"""

import hashlib
import json
import os
import socket
import sys
import threading
from typing import Any

CHUNK = 65536


def send(connection: socket.socket, count: int, report: dict[str, Any]) -> None:
    digest, report["sent"] = hashlib.sha256(), 0
    try:
        while report["sent"] < count:
            chunk = os.urandom(min(CHUNK, count - report["sent"]))
            connection.sendall(chunk)
            digest.update(chunk)
            report["sent"] += len(chunk)
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        report.setdefault("error", f"sending: {error}")
    report["sent_sha256"] = digest.hexdigest()


def receive(connection: socket.socket, report: dict[str, Any]) -> None:
    digest, report["received"] = hashlib.sha256(), 0
    try:
        while chunk := connection.recv(CHUNK):
            digest.update(chunk)
            report["received"] += len(chunk)
    except OSError as error:
        report.setdefault("error", f"receiving: {error}")
    report["received_sha256"] = digest.hexdigest()


def opened(role: str, address: str, port: int, seconds: float) -> socket.socket:
    if role == "connect":
        return socket.create_connection((address, port), timeout=seconds)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(seconds)
        listener.bind((address, port))
        listener.listen(1)
        print("listening", file=sys.stderr, flush=True)
        return listener.accept()[0]


def main() -> int:
    role, address, port, count, seconds = sys.argv[1], sys.argv[2], *(float(each) for each in sys.argv[3:6])
    report: dict[str, Any] = {}
    try:
        connection = opened(role, address, int(port), seconds)
    except OSError as error:
        print(json.dumps({"error": f"{role}: {error}"}))
        return 1
    with connection:
        connection.settimeout(seconds)
        sender = threading.Thread(target=send, args=(connection, int(count), report))
        sender.start()
        receive(connection, report)
        sender.join()
    print(json.dumps(report))
    return 1 if "error" in report else 0


if __name__ == "__main__":
    sys.exit(main())
