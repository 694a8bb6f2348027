"""nft's trace of probe packets: which rule or policy gave which verdict. Runs on the host.

The rules that mark packets are in a table of their own, owned by an ``nft -i`` on a pipe: whatever ends us, the kernel
takes the table with its owner. Reads the trace group of nfnetlink itself (linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import threading
import time

from files import there

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TABLE = "hopscope_trace"
NETLINK_NETFILTER, GROUP, SOL_NETLINK, ADD_MEMBERSHIP = 12, 9, 270, 1
T_TABLE, T_CHAIN, T_HANDLE, T_TYPE, T_VERDICT, T_ID, T_NETWORK, T_TRANSPORT = 1, 2, 3, 4, 5, 6, 8, 9
T_IIF, T_OIF, T_POLICY = 10, 12, 16
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
KINDS = {1: "policy", 2: "return", 3: "rule"}
VERDICTS = {0: "drop", 1: "accept", 2: "stolen", 3: "queue"}
READY_S = 1.0


class Trace:
    """``why`` is empty where it runs, else the reason that it does not."""

    def __init__(self, port: int, transport: int) -> None:
        self.why = ""
        self.counts: dict[tuple[Any, ...], int] = {}
        self._headers: dict[int, tuple[Any, ...]] = {}
        self._ended = threading.Event()
        self._owner: subprocess.Popen[bytes] | None = None
        if not there("nft"):
            self.why = "nft is not there"
            return
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, GROUP)
            self._socket.settimeout(0.05)
            self._mark(port, transport)
        except OSError as error:
            self.why = str(error)
        if not self.why:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def _mark(self, port: int, transport: int) -> None:
        wanted = [
            "icmp type { echo-request, echo-reply } meta nftrace set 1",
            f"tcp dport {port} meta nftrace set 1",
            f"tcp sport {port} meta nftrace set 1",
        ]
        if transport:
            for way in ("dport", "sport"):
                wanted.append(f"tcp {way} {transport} limit rate 20/second burst 10 packets meta nftrace set 1")
        self._rules = 2 * len(wanted)
        lines = [f"add table inet {TABLE} {{ flags owner; }}"]
        for hook in ("prerouting", "output"):
            lines.append(f"add chain inet {TABLE} {hook} {{ type filter hook {hook} priority -399; policy accept; }}")
            lines += [f"add rule inet {TABLE} {hook} {rule}" for rule in wanted]
        lines.append(f"list table inet {TABLE}")
        self._owner = subprocess.Popen(
            ["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._owner.stdin is not None
        self._owner.stdin.write("".join(line + "\n" for line in lines).encode())
        self._owner.stdin.flush()

    def settle(self) -> None:
        """Wait until the marking rules are there: nft tells the table after it has made them."""
        if self.why or self._owner is None or self._owner.stdout is None:
            return
        deadline, said = time.monotonic() + READY_S, b""
        while not said.endswith(b"\n}\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._owner.stdout], [], [], left)[0]:
                break
            data = os.read(self._owner.stdout.fileno(), 65536)
            if not data:
                break
            said += data
        if said.count(b"nftrace") < self._rules:
            self.why = said.decode(errors="replace").strip()[:200] or "nft did not take the rules that mark probes"

    def finish(self) -> None:
        """No more is wanted: ``records`` then waits for less."""
        self._ended.set()
        if self._owner is not None and self._owner.stdin is not None:
            self._owner.stdin.close()

    def records(self) -> list[dict[str, Any]]:
        """What was seen, counted; the rules are gone afterwards."""
        self.finish()
        if self._owner is not None:
            try:
                self._owner.wait(2)
            except subprocess.TimeoutExpired:
                self._owner.kill()
                self._owner.wait()
        if self.why:
            return []
        self._thread.join(2)
        self._socket.close()
        return [dict(key, n=n) for key, n in self.counts.items()]

    def _run(self) -> None:
        quiet = False
        while not (self._ended.is_set() and quiet):
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                quiet = True
                continue
            except OSError:  # ENOBUFS: some were lost, the rest still tells
                continue
            quiet = False
            at = 0
            while at + 20 <= len(data):
                length = struct.unpack_from("=I", data, at)[0]
                self._note(data[at + 16], data[at + 20 : at + length])
                at += (length + 3) & ~3 if length else len(data)

    def _note(self, family: int, body: bytes) -> None:
        seen = attributes(body)
        number = self._keep(seen)
        ours = seen.get(T_TABLE, b"").rstrip(b"\0").decode() == TABLE
        if T_TYPE not in seen or (ours and seen[T_TYPE][-1] != 1):
            return
        verdict = attributes(seen.get(T_VERDICT, b"")).get(1)
        code = struct.unpack("!i", verdict)[0] if verdict else None
        if T_POLICY in seen and seen[T_TYPE][-1] == 1:
            code = struct.unpack("!I", seen[T_POLICY])[0]
        probe, iif, oif = self._headers.get(number, ("", 0, 0))
        oif = _number(seen.get(T_OIF)) or oif
        key = {
            "family": FAMILIES.get(family, str(family)),
            "table": seen.get(T_TABLE, b"").rstrip(b"\0").decode(),
            "chain": seen.get(T_CHAIN, b"").rstrip(b"\0").decode(),
            "handle": struct.unpack("!Q", seen[T_HANDLE])[0] if T_HANDLE in seen else 0,
            "kind": KINDS.get(seen[T_TYPE][-1], "?"),
            "verdict": verdict_of(code),
            "packet": probe,
            "iif": _number(seen.get(T_IIF)) or iif,
            "oif": oif,
        }
        counted = tuple(sorted(key.items()))
        self.counts[counted] = self.counts.get(counted, 0) + 1

    def _keep(self, seen: dict[int, bytes]) -> int:
        """Headers come with the first event of a packet alone."""
        number = _number(seen.get(T_ID))
        if T_NETWORK in seen:
            self._headers[number] = (
                _packet(seen[T_NETWORK], seen.get(T_TRANSPORT, b"")), _number(seen.get(T_IIF)), _number(seen.get(T_OIF))
            )  # fmt: skip
        return number


def verdict_of(code: int | None) -> str:
    """Of NF_QUEUE the number is in the low bits, the queue in the high ones; what is negative goes on (nf_tables.h)."""
    return "continue" if code is None or code < 0 else VERDICTS.get(code & 0xFF, "continue")


def attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def _number(data: bytes | None) -> int:
    return int.from_bytes(data, "big") if data else 0


def _packet(network: bytes, transport: bytes) -> str:
    """``icmp 10.9.0.1>10.9.0.2`` or ``tcp A:PORT>B:PORT``: enough to tell probes apart."""
    if len(network) < 20:
        return ""
    src, dst = (".".join(map(str, network[at : at + 4])) for at in (12, 16))
    if network[9] == 6 and len(transport) >= 4:
        ports = struct.unpack_from("!HH", transport)
        return f"tcp {src}:{ports[0]}>{dst}:{ports[1]}"
    return f"icmp {src}>{dst} {'reply' if transport[:1] == bytes(1) else 'echo'}"
