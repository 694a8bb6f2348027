"""A tunnel as one writes it in an afternoon: TUN over TCP, two bytes of length before each packet, nothing hidden.

    python plain.py listen|connect ADDRESS PORT OWN PEER [--key BYTE] [--drop-over N] [--deaf]

``--key`` disguises every byte, which is no secret but nothing that a capture shows in clear; ``--drop-over`` loses
packets that are longer; ``--deaf`` never reads the device.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import socket
import struct
import subprocess
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
LARGEST = 65536


def device(own: str, peer: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    for argv in (["ip", "addr", "add", own, "peer", peer, "dev", "tun0"], ["ip", "link", "set", "tun0", "up"]):
        subprocess.run(argv, check=True, timeout=10)
    return fd


def connection(role: str, address: str, port: int) -> socket.socket:
    if role == "listen":
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(1)
            print("listening", flush=True)
            return listener.accept()[0]
    until = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection((address, port), timeout=5)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("role", "address", "port", "own", "peer"):
        parser.add_argument(name)
    parser.add_argument("--key", type=int, default=0)
    parser.add_argument("--drop-over", type=int, default=LARGEST)
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()
    disguise = bytes(byte ^ options.key for byte in range(256))
    tun = device(options.own, options.peer)
    stream = connection(options.role, options.address, int(options.port))
    stream.settimeout(None)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("connected", flush=True)
    waiting = b""
    while True:
        for ready in select.select([stream] if options.deaf else [tun, stream], [], [])[0]:
            if ready is stream:
                data = stream.recv(LARGEST)
                if not data:
                    return
                waiting += data
                while len(waiting) >= 2 and len(waiting) >= 2 + (length := int.from_bytes(waiting[:2], "big")):
                    os.write(tun, waiting[2 : 2 + length].translate(disguise))
                    waiting = waiting[2 + length :]
            elif len(packet := os.read(tun, LARGEST)) <= options.drop_over:
                stream.sendall(len(packet).to_bytes(2, "big") + packet.translate(disguise))


if __name__ == "__main__":
    main()
