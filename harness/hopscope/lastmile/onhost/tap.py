"""What passes every device of a host, as far as it is ours: probes, errors about them, ARP, and the transport's SYN,
FIN and RST. One AF_PACKET socket and a filter in the kernel, so that a busy tunnel costs nothing. Runs on the host.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"hopscope"
SO_ATTACH_FILTER, ETH_P_ALL = 26, 3
SNAP = 160
LARGE = 500  # bytes of IP packet from which a segment of TCP counts as a large one
LDH, LDB, LDXB, LDHX, LDBX, JEQ, JSET, RET = 0x28, 0x30, 0xB1, 0x48, 0x50, 0x15, 0x45, 0x06
PROTOCOL = 0xFFFFF000


def program(port: int, transport: int) -> bytes:
    """Classic BPF, from the network header: ARP, ICMP, fragments, our port, and SYN, FIN, RST of the transport."""
    rows = [
        (LDH, PROTOCOL), (JEQ, 0x0806, "yes", None), (JEQ, 0x0800, None, "no"),
        (LDB, 9), (JEQ, 1, "yes", None), (JEQ, 6, None, "no"),
        (LDH, 6), (JSET, 0x1FFF, "yes", None), (LDXB, 0),
        (LDHX, 0), (JEQ, port, "yes", None), (JEQ, transport, "flags", None),
        (LDHX, 2), (JEQ, port, "yes", None), (JEQ, transport, "flags", "no"),
        "flags", (LDBX, 13), (JSET, 7, "yes", "no"),
        "yes", (RET, SNAP), "no", (RET, 0),
    ]  # fmt: skip
    labels: dict[str, Any] = {}
    code: list[Any] = []
    for row in rows:
        if isinstance(row, str):
            labels[row] = len(code)
        else:
            code.append(row)
    out = b""
    for at, (op, value, *jumps) in enumerate(code):
        true, false = ((labels[jump] - at - 1 if jump else 0) for jump in (jumps or (None, None)))
        out += struct.pack("=HBBI", op, true, false, value)
    return out


class Tap:
    """Counts by what was seen where: ``records()`` are dicts with dev, way (in, out), kind and what belongs to it."""

    def __init__(self, port: int, transport: int) -> None:
        self.port, self.transport = port, transport
        self.counts: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.packets = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        code = program(port, transport or port)
        buffer = ctypes.create_string_buffer(code, len(code))
        filter_ = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """No more is wanted: ``records`` then waits for less."""
        self._ended.set()

    def records(self) -> list[dict[str, Any]]:
        self.finish()
        self._thread.join(2)
        lost = struct.unpack("II", self._socket.getsockopt(263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
        self._socket.close()
        found = [dict(values, **dict(key)) for key, values in self.counts.items()]
        return [*found, {"kind": "lost", "n": lost}] if lost else found

    def _run(self) -> None:
        quiet = False
        while not (self._ended.is_set() and quiet):
            try:
                data, (dev, protocol, kind, *_) = self._socket.recvfrom(SNAP)
            except TimeoutError:
                quiet = True
                continue
            except OSError:
                return
            quiet = False
            if kind == 3:  # PACKET_OTHERHOST: not for us
                continue
            try:
                about = describe(data, protocol, self.port, self.transport)
            except (struct.error, IndexError):
                continue
            if about is None:
                continue
            key, more = about
            key.update(dev=dev, way="out" if kind == 4 else "in")
            kept = self.counts.setdefault(tuple(sorted(key.items())), {"n": 0, "large": 0, "ttl": 255, "longest": 0})
            kept["n"] += 1
            kept["large"] += more.get("longest", 0) >= LARGE
            kept["longest"] = max(kept["longest"], more.get("longest", 0))
            kept["ttl"] = min(kept["ttl"], more.get("ttl", 255))
            self.packets += protocol == 0x0800


def describe(data: bytes, protocol: int, port: int, transport: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What tells a packet from others, and its length and TTL; None for TCP that is neither a probe nor the transport.

    ``data`` is from the network header on. Raises struct.error or IndexError where it is too short.
    """
    if protocol == 0x0806:
        op, sender = struct.unpack_from("!H", data, 6)[0], data[8:14].hex(":")
        ips = (socket.inet_ntoa(data[14:18]), socket.inet_ntoa(data[24:28]))
        return {"kind": "arp", "op": op, "mac": sender, "src": ips[0], "dst": ips[1]}, {}
    header = (data[0] & 15) * 4
    length, fragment = struct.unpack_from("!H", data, 2)[0], struct.unpack_from("!H", data, 6)[0] & 0x1FFF
    ends = {"src": socket.inet_ntoa(data[12:16]), "dst": socket.inet_ntoa(data[16:20])}
    more = {"longest": length, "ttl": data[8]}
    body = data[header:]
    if fragment:
        return {"kind": "fragment", **ends}, more
    if data[9] == 6:
        source, target = struct.unpack_from("!HH", body)
        flags = body[13]
        if port in (source, target):
            own, way = (source, "there") if target == port else (target, "back")
            stage = "syn" if flags & 2 else "rst" if flags & 4 else "data"
            return {"kind": "tcp", "port": own, "toward": way, "stage": stage, **ends}, more
        return ({"kind": "transport", "flags": _flags(flags), **ends}, more) if transport in (source, target) else None
    if data[9] != 1:
        return None
    kind, code = body[0], body[1]
    if kind in (0, 8):
        payload = body[8:]
        probe = struct.unpack_from("!I", payload, len(MAGIC))[0] if payload.startswith(MAGIC) else 0
        return {"kind": "reply" if kind == 0 else "echo", "probe": probe, **ends}, more
    inner = body[8:]
    offset = (inner[0] & 15) * 4
    about = {"probe": 0, "port": 0}
    if inner[9] == 1 and inner[offset + 8 : offset + 16] == MAGIC:
        about["probe"] = struct.unpack_from("!I", inner, offset + 16)[0]
    elif inner[9] == 6:
        ports = struct.unpack_from("!HH", inner, offset)
        about["port"] = ports[0] if ports[1] == port else ports[1] if ports[0] == port else 0
    mtu = struct.unpack_from("!H", body, 6)[0] if (kind, code) == (3, 4) else 0
    return {"kind": "error", "type": kind, "code": code, "mtu": mtu, **about, **ends}, more


def _flags(flags: int) -> str:
    return "".join(letter for bit, letter in enumerate("FSR") if flags >> bit & 1) + ("A" if flags & 16 else "")
