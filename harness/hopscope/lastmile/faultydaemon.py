"""A tunnel daemon with one fault at will: TUN over TCP (or TLS), two bytes of length before each packet.

    python faultydaemon.py listen|connect ADDRESS PORT OWN/PREFIX PEER [--tls DIR] [--mtu N] [FAULT…]

It connects again when its transport ends. The faults: ``--no-tun-read``, ``--no-socket-read``, ``--no-socket-write``,
``--no-deliver``, ``--drop-over N``, ``--corrupt`` (the last byte of each packet), ``--delay S`` before each packet.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import socket
import ssl
import struct
import subprocess
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
LARGEST = 65536


def device(name: str, own: str, peer: str, mtu: int) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    address = ["ip", "addr", "add", own, *(["peer", peer] if "/" not in own else []), "dev", name]
    for argv in (address, ["ip", "link", "set", name, "up", "mtu", str(mtu)]):
        subprocess.run(argv, check=True, timeout=10)
    return fd


def connection(options: argparse.Namespace, listener: socket.socket | None) -> socket.socket:
    while True:
        try:
            if listener is not None:
                stream = listener.accept()[0]
            else:
                stream = socket.create_connection((options.address, options.port), timeout=3)
            stream.settimeout(5)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.tls:
                stream = context(options, listener is not None).wrap_socket(stream, server_side=listener is not None)
            stream.settimeout(None)
        except OSError as error:
            print(f"transport: {error}", flush=True)
            time.sleep(0.1)
        else:
            return stream


def context(options: argparse.Namespace, server: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_cert_chain(f"{options.tls}/own.crt", f"{options.tls}/own.key")
    made.load_verify_locations(f"{options.tls}/ca.crt")
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def shuttle(options: argparse.Namespace, tun: int, stream: socket.socket) -> None:
    waiting = b""
    watched = ([] if options.no_tun_read else [tun]) + ([] if options.no_socket_read else [stream])
    while True:
        pending = getattr(stream, "pending", lambda: 0)()
        ready = [stream] if pending and stream in watched else select.select(watched, [], [], 5)[0]
        for each in ready:
            if each is stream:
                data = stream.recv(LARGEST)
                if not data:
                    raise ConnectionError("the other end closed it")
                waiting += data
                while len(waiting) >= 2 and len(waiting) >= 2 + (length := int.from_bytes(waiting[:2], "big")):
                    if not options.no_deliver:
                        with_care(tun, waiting[2 : 2 + length])
                    waiting = waiting[2 + length :]
            elif len(packet := os.read(tun, LARGEST)) <= options.drop_over and not options.no_socket_write:
                time.sleep(options.delay)
                packet = packet[:-1] + bytes([packet[-1] ^ options.corrupt])
                stream.sendall(len(packet).to_bytes(2, "big") + packet)


def with_care(tun: int, packet: bytes) -> None:
    try:
        os.write(tun, packet)
    except OSError as error:  # the device is down: the next packet may find it up
        print(f"device: {error}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("listen", "connect"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("own")
    parser.add_argument("peer")
    parser.add_argument("--device", default="tun0")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--tls", default="")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--drop-over", type=int, default=LARGEST)
    for fault in ("--no-tun-read", "--no-socket-read", "--no-socket-write", "--no-deliver", "--corrupt"):
        parser.add_argument(fault, action="store_true")
    options = parser.parse_args()
    tun = device(options.device, options.own, options.peer, options.mtu)
    listener = None
    if options.role == "listen":
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.address, options.port))
        listener.listen(4)
    print("listening", flush=True)
    while True:
        stream = connection(options, listener)
        print("connected", flush=True)
        try:
            shuttle(options, tun, stream)
        except OSError as error:
            print(f"transport: {error}", flush=True)
        stream.close()


if __name__ == "__main__":
    main()
