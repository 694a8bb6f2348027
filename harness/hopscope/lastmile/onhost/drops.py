"""Packets that the kernel gave up in this network namespace: why, where, and which packet. Runs on the host.

A program on the raw tracepoint ``kfree_skb`` (linux/include/trace/events/skb.h; reasons since Linux 5.17) writes a
record for each into a ring. It ends with the descriptors of its owner, however that ends. Needs root of the machine:
CAP_BPF and CAP_PERFMON do not reach into a user namespace.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import struct

import bpf
from bpf import ADD64, ADD64_REG, EXIT, JEQ64, JNE32, LDXDW, LDXH, LDXW, MOV64, MOV64_REG, STDW, STXDW, STXW, Program
from btf import of_kfree_skb
from tap import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRACEPOINT = "kfree_skb"
PROBE_READ_KERNEL, RINGBUF_OUTPUT, SNPRINTF = 113, 130, 165
PACKET, SYMBOL = 128, 48
RECORD = struct.Struct(f"=II2s6x{PACKET}s{SYMBOL}s")
"""Reason, index of the device (0: none), protocol as on the wire, bytes from the network header, function."""
RING = 1 << 20
SCRATCH = -(RECORD.size + 16)
REGISTER = {"context": 6, "skb": 7, "it": 8, "offset": 9, "frame": 10}
NO_LOSS = {
    ("NO_SOCKET", "ping_rcv"),  # every echo reply that a raw socket has had
    ("NOT_SPECIFIED", "tcp_v4_rcv"), ("NOT_SPECIFIED", "tcp_v6_rcv"),  # the end of a connection
}  # fmt: skip
NO_DROPS = ("SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "QUEUE_PURGE", "SOCKET_CLOSE")
"""No drops, or the queue of a socket that was closed."""


def program(fields: dict[str, int], namespace: int, ring: int, text: int) -> Program:
    """``fields`` are offsets by the names of FIELDS, ``namespace`` the inode number of the one to watch."""
    made = Program()
    context, skb, it, offset, frame = REGISTER.values()

    def read(to: int, size: int, base: int, at: int) -> None:
        """Bytes of kernel memory to the stack; where they cannot be read, zeros."""
        made.add(MOV64_REG, 1, frame)
        made.add(ADD64, 1, imm=to)
        made.add(MOV64, 2, imm=size)
        made.add(MOV64_REG, 3, base)
        made.add(ADD64, 3, imm=at)
        made.call(PROBE_READ_KERNEL)

    def follow(base: int, at: int) -> None:
        """A pointer of kernel memory to the register ``it``."""
        read(SCRATCH, 8, base, at)
        made.add(LDXDW, it, frame, SCRATCH)

    record = -RECORD.size
    made.add(MOV64_REG, context, 1)
    made.add(LDXDW, skb, context, 0)
    for at in range(record, 0, 8):
        made.add(STDW, frame, off=at)
    follow(skb, fields["dev"])
    made.jump("socket", JEQ64, it)
    read(record + 4, 4, it, fields["ifindex"])
    follow(it, fields["net"])
    made.jump("namespace")
    made.label("socket")
    follow(skb, fields["sk"])
    made.jump("end", JEQ64, it)
    follow(it, fields["sock_net"])
    made.label("namespace")
    read(SCRATCH, 4, it, fields["inum"])
    made.add(LDXW, 1, frame, SCRATCH)
    made.jump("end", JNE32, 1, namespace)
    read(record + 8, 2, skb, fields["protocol"])
    follow(skb, fields["head"])
    read(SCRATCH, 2, skb, fields["network"])
    made.add(LDXH, offset, frame, SCRATCH)
    made.add(ADD64_REG, it, offset)
    read(record + 16, PACKET, it, 0)
    made.add(LDXW, 1, context, 16)
    made.add(STXW, frame, 1, record)
    made.add(LDXDW, 1, context, 8)
    made.add(STXDW, frame, 1, SCRATCH)
    made.add(MOV64_REG, 1, frame)
    made.add(ADD64, 1, imm=-SYMBOL)
    made.add(MOV64, 2, imm=SYMBOL)
    made.address(3, text, bpf.MAP_VALUE)
    made.add(MOV64_REG, 4, frame)
    made.add(ADD64, 4, imm=SCRATCH)
    made.add(MOV64, 5, imm=8)
    made.call(SNPRINTF)
    made.address(1, ring, bpf.MAP_FD)
    made.add(MOV64_REG, 2, frame)
    made.add(ADD64, 2, imm=record)
    made.add(MOV64, 3, imm=RECORD.size)
    made.add(MOV64, 4)
    made.call(RINGBUF_OUTPUT)
    made.label("end")
    made.add(MOV64, 0)
    made.add(EXIT)
    return made


class Drops:
    """``why`` is empty where it runs, else the reason that it does not."""

    def __init__(self, port: int, transport: int, kernel: dict[str, Any] | None = None) -> None:
        """``kernel`` is what ``of_kfree_skb`` tells of this kernel, where somebody has asked already."""
        self.why = ""
        self._ports = port, transport
        self._descriptors: list[int] = []
        try:
            known = kernel or of_kfree_skb()
            self._reasons = {int(number): name for number, name in known["reasons"].items()}
            ring = self._keep(bpf.ring(RING))
            text = self._keep(bpf.constant(b"%ps"))
            made = program(known["fields"], os.stat("/proc/self/ns/net").st_ino, ring, text)
            loaded = self._keep(made.load())
            self._keep(bpf.attach(loaded, TRACEPOINT))
            page = mmap.PAGESIZE
            self._consumer = mmap.mmap(ring, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            self._producer = mmap.mmap(ring, page + 2 * RING, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except (OSError, LookupError, ValueError) as error:
            refused = isinstance(error, OSError) and error.errno == errno.EPERM
            self.why = "needs root of the machine" if refused else str(error)
            self.close()

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def records(self) -> list[dict[str, Any]]:
        """What was given up and is ours, counted: dev, reason, function, and what a tap would tell of the packet."""
        if self.why:
            return []
        names = dict(socket.if_nameindex())
        counts: dict[tuple[Any, ...], int] = {}
        for data in self._taken():
            reason, index, protocol, packet, symbol = RECORD.unpack(data)
            name = self._reasons.get(reason, str(reason)).replace("SKB_DROP_REASON_", "")
            function = symbol.rstrip(b"\0").decode(errors="replace").partition(" ")[0].partition(".")[0]
            try:
                about = describe(packet, int.from_bytes(protocol, "big"), *self._ports)
            except (struct.error, IndexError):
                continue
            if about is None or name in NO_DROPS or (name, function) in NO_LOSS:
                continue
            key = {"dev": names.get(index, ""), "reason": name, "function": function, **about[0]}
            counted = tuple(sorted(key.items()))
            counts[counted] = counts.get(counted, 0) + 1
        self.close()
        return [dict(key, n=n) for key, n in counts.items()]

    def _taken(self) -> list[bytes]:
        """Records from the ring (Documentation/bpf/ringbuf.rst), each behind eight bytes of length and marks."""
        at, end = (struct.unpack_from("=Q", each)[0] for each in (self._consumer, self._producer))
        found = []
        while at < end:
            start = mmap.PAGESIZE + at % RING
            length = struct.unpack_from("=I", self._producer, start)[0]
            if length >> 31:
                break
            if not length >> 30 & 1 and length == RECORD.size:
                found.append(self._producer[start + 8 : start + 8 + length])
            at += (length & 0x3FFFFFFF) + 8 + 7 & ~7
        return found
