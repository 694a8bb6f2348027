"""Metadata traffic: bursts of SYNs to 169.254.169.254, as agents on a cloud host send them.

``noise.py SOURCE``. Raw sockets of the standard library; says "started" once the first burst has gone, and goes on
until it is ended.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from contextlib import suppress

TARGET = "169.254.169.254"
BURST, SPACING_S = 150, 0.2


def syn(source: bytes, port: int) -> bytes:
    """An IPv4 SYN to port 80, checksums right (RFC 1071)."""
    target = socket.inet_aton(TARGET)
    tcp = struct.pack("!HHIIBBHHH", port, 80, port << 8, 0, 0x50, 2, 64240, 0, 0)
    total = sum(struct.unpack("!16H", source + target + struct.pack("!HH", 6, len(tcp)) + tcp))
    total = (total & 0xFFFF) + (total >> 16)
    tcp = tcp[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + tcp[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0x4000, 64, 6, 0, source, target) + tcp


def main() -> None:
    source = socket.inet_aton(sys.argv[1])
    with suppress(PermissionError):  # what comes over a real wire waits for no scheduler of ours
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    packets = [syn(source, 20_000 + number) for number in range(BURST)]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        told = False
        while True:
            for packet in packets:
                raw.sendto(packet, (TARGET, 0))
            if not told:
                print("started", flush=True)
                told = True
            time.sleep(SPACING_S)


if __name__ == "__main__":
    main()
