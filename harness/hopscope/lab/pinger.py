"""Round trips by ICMP echo, in nanoseconds. Run by path as ``python -I -S pinger.py ADDRESS COUNT SPACING_MS
TIMEOUT_S`` on a host, standard library alone.

ping(8) prints three digits and waits for one answer after the other; here many are on their way at once, so twenty
round trips of 100 ms take 200 ms. One echo goes first and is not counted: it pays for the neighbour look-ups of the
path. Sending is stamped here, receiving by the kernel. Output: ``{"sent": N, "rtts_ns": [...]}``.
"""

import json
import os
import select
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35  # its control message has the same number: struct timespec, CLOCK_REALTIME
ICMP_ECHO, ICMP_ECHO_REPLY = 8, 0
ICMP6_ECHO, ICMP6_ECHO_REPLY = 128, 129


def checksum(data: bytes) -> int:
    """RFC 1071, over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Pinger:
    def __init__(self, address: str) -> None:
        self.address = address
        self.six = ":" in address
        family, protocol = (
            (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self.six else (socket.AF_INET, socket.IPPROTO_ICMP)
        )
        self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.identity = os.getpid() & 0xFFFF
        self.sent: dict[int, int] = {}
        self.rtts: dict[int, int] = {}

    def send(self, sequence: int) -> None:
        kind = ICMP6_ECHO if self.six else ICMP_ECHO
        body = struct.pack("!HH", self.identity, sequence) + bytes(48)
        code = 0 if self.six else checksum(struct.pack("!BBH", kind, 0, 0) + body)  # the kernel does ICMPv6's
        self.sent[sequence] = time.time_ns()
        self.socket.sendto(struct.pack("!BBH", kind, 0, code) + body, (self.address, 0))

    def receive(self, until: float) -> None:
        """Take answers until a monotonic time, or until every echo sent has its answer."""
        while len(self.rtts) < len(self.sent):
            pause = until - time.monotonic()
            if pause <= 0 or not select.select([self.socket], [], [], pause)[0]:
                return
            self._take()

    def pace(self, until: float) -> None:
        """Take answers until a monotonic time, the whole of it."""
        while (pause := until - time.monotonic()) > 0:
            if select.select([self.socket], [], [], pause)[0]:
                self._take()

    def _take(self) -> None:
        data, control, _, _ = self.socket.recvmsg(2048, 64)
        message = data if self.six else data[(data[0] & 15) * 4 :]
        kind, _, _, identity, sequence = struct.unpack_from("!BBHHH", message)
        wanted = ICMP6_ECHO_REPLY if self.six else ICMP_ECHO_REPLY
        if kind != wanted or identity != self.identity or sequence not in self.sent:
            return
        for level, number, stamp in control:
            if (level, number) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("ll", stamp)
                self.rtts.setdefault(sequence, seconds * 10**9 + nanoseconds - self.sent[sequence])


def main() -> None:
    address, count, spacing, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1e3, float(sys.argv[4])
    pinger = Pinger(address)
    pinger.send(0)
    pinger.receive(time.monotonic() + timeout)
    pinger.sent.clear()
    pinger.rtts.clear()
    start = time.monotonic()
    for number in range(count):
        pinger.pace(start + number * spacing)
        pinger.send(number + 1)
    pinger.receive(time.monotonic() + timeout)
    print(json.dumps({"sent": count, "rtts_ns": list(pinger.rtts.values())}))


if __name__ == "__main__":
    main()
