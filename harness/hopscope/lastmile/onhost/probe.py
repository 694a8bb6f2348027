"""The probes of one host: pings whose payload names them, and TCP with payload both ways. Runs on the host."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
import time

from tap import MAGIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IP_MTU_DISCOVER, PMTUDISC_PROBE, IP_RECVERR, MSG_ERRQUEUE = 10, 3, 11, 0x2000
ECHOES = 2
CHUNK = 65536


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1])) + (
        data[-1] << 8 if len(data) & 1 else 0
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(probe: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Echoes of ``size`` bytes of IP packet that may not be fragmented; two at once, two more where none came back."""
    number, size = probe["number"], probe["size"]
    found: dict[str, Any] = {"sent": 0, "received": 0, "errors": []}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        if probe.get("source"):
            try:
                sock.bind((probe["source"], 0))
            except OSError as error:
                found["errors"].append({"errno": error.errno, "what": os.strerror(error.errno or 0)})
                return dict(found, ok=False)
        answered: set[int] = set()
        began = time.monotonic()
        for attempt in (0, 1):
            for _ in range(ECHOES):
                _send(sock, probe, number, size, found)
            _hear(sock, number, began + wait_s * (0.5 + 0.5 * attempt), found, answered, ECHOES * (attempt + 1))
            if answered or not found["sent"]:
                break
        found["received"] = len(answered)
    return dict(found, ok=bool(answered), seconds=time.monotonic() - began)


def _send(sock: socket.socket, probe: dict[str, Any], number: int, size: int, found: dict[str, Any]) -> None:
    sequence = found["sent"] + 1
    payload = (MAGIC + struct.pack("!I", number)).ljust(size - 28, b"\x5a")
    head = struct.pack("!BBHHH", 8, 0, 0, number & 0xFFFF, sequence)
    packet = head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload
    try:
        sock.sendto(packet, (probe["target"], 0))
        found["sent"] += 1
    except OSError as error:
        _note(found, {"errno": error.errno, "what": os.strerror(error.errno or 0), "local": True})


def _hear(
    sock: socket.socket, number: int, deadline: float, found: dict[str, Any], answered: set[int], enough: int
) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    while len(answered) < min(enough, max(found["sent"], 1)):
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return
        _errors(sock, number, found)
        try:
            data = sock.recv(CHUNK)
        except OSError:
            continue
        body = data[(data[0] & 15) * 4 :]
        if body[:1] == b"\0" and body[8:20] == MAGIC + struct.pack("!I", number):
            answered.add(struct.unpack_from("!H", body, 6)[0])


def _errors(sock: socket.socket, number: int, found: dict[str, Any]) -> None:
    """What ICMP said about this probe (others' errors come to a raw socket too): sock_extended_err of ip(7)."""
    while True:
        try:
            data, extra, _, _ = sock.recvmsg(CHUNK, 512, MSG_ERRQUEUE)
        except OSError:
            return
        at = data.find(MAGIC)
        if at < 0 or data[at + 8 : at + 12] != struct.pack("!I", number):
            continue
        for _, kind, value in extra:
            if kind == IP_RECVERR and len(value) >= 16:
                code, origin, icmp_type, icmp_code = struct.unpack_from("=IBBB", value)
                info = struct.unpack_from("=I", value, 8)[0]
                offender = socket.inet_ntoa(value[20:24]) if len(value) >= 24 else ""
                _note(
                    found,
                    {
                        "errno": code, "what": os.strerror(code), "type": icmp_type, "code": icmp_code,
                        "from": offender, "mtu": info, "local": origin == 1,
                    },
                )  # fmt: skip


def _note(found: dict[str, Any], error: dict[str, Any]) -> None:
    if error not in found["errors"]:
        found["errors"].append(error)


def tcp(probe: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Connect, send ``bytes`` and have them echoed. ``stage`` is how far it came: connect, transfer, done."""
    found: dict[str, Any] = {"stage": "connect", "sent": 0, "received": 0, "errors": []}
    count = probe.get("bytes", 0)
    began = time.monotonic()
    deadline = began + wait_s
    with socket.socket() as sock:
        try:
            if probe.get("source"):
                sock.bind((probe["source"], 0))
            sock.settimeout(wait_s)
            sock.bind((probe.get("source") or "", 0))
        except OSError as error:
            if not probe.get("source"):
                _note(found, {"errno": error.errno, "what": os.strerror(error.errno or 0), "local": True})
        try:
            found["port"] = sock.getsockname()[1]
            sock.connect((probe["target"], probe["port"]))
            found["stage"] = "transfer" if count else "done"
            found["connected_s"] = time.monotonic() - began
            sock.setblocking(False)
            data = b"\xa5" * count
            while found["received"] < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(errno.ETIMEDOUT, "timed out")
                readable, writable, _ = select.select([sock], [sock] if found["sent"] < count else [], [], left)
                if writable:
                    found["sent"] += sock.send(data[found["sent"] : found["sent"] + CHUNK])
                if readable:
                    got = sock.recv(CHUNK)
                    if not got:
                        raise ConnectionError(errno.ECONNRESET, "it was closed")
                    found["received"] += len(got)
            found["stage"] = "done"
        except TimeoutError:
            _note(found, {"errno": errno.ETIMEDOUT, "what": "timed out"})
        except OSError as error:
            _note(found, {"errno": error.errno, "what": os.strerror(error.errno or 0)})
    return dict(found, ok=found["stage"] == "done", seconds=time.monotonic() - began)


def tls(probe: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """A TLS handshake with the transport, without believing anybody; what certificate was shown."""
    import ssl  # costly, and seldom wanted

    found: dict[str, Any] = {"stage": "connect", "errors": []}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((probe["target"], probe["port"]), timeout=wait_s) as sock:
            found["stage"] = "handshake"
            with context.wrap_socket(sock) as shaken:
                found["stage"] = "done"
                found["not_after"] = expiry(shaken.getpeercert(True) or b"")
    except (OSError, ssl.SSLError) as error:
        _note(found, {"errno": error.errno or 0, "what": str(error)[:120]})
    return dict(found, ok=found["stage"] == "done")


def expiry(certificate: bytes) -> float | None:
    """When a certificate ends, seconds since 1970: the second time in its DER (RFC 5280, 4.1: Validity)."""
    times: list[float] = []
    at = 0
    while len(times) < 2 and at + 2 < len(certificate):
        tag, length = certificate[at], certificate[at + 1]
        text = certificate[at + 2 : at + 2 + length]
        if (tag, length) in ((0x17, 13), (0x18, 15)) and text[:-1].isdigit() and text.endswith(b"Z"):
            digits = text[:-1].decode() if tag == 0x18 else ("20" if text[:2] < b"50" else "19") + text[:-1].decode()
            times.append(time.mktime(time.strptime(digits, "%Y%m%d%H%M%S")) - time.timezone)
            at += 2 + length
        else:
            at += 1
    return times[1] if len(times) == 2 else None


class Listener:
    """Echoes what comes to the probes' port, on every address of the host."""

    def __init__(self, port: int) -> None:
        self.why = ""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("", port))
            self._socket.listen(64)
        except OSError as error:
            self.why = str(error)
            return
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(5)
        try:
            while data := connection.recv(CHUNK):
                connection.sendall(data)
        except OSError:
            return


KINDS = {"ping": ping, "tcp": tcp, "tls": tls}


def run(probes: list[dict[str, Any]], wait_s: float) -> dict[str, dict[str, Any]]:
    """All probes of this host at once, by name."""
    results: dict[str, dict[str, Any]] = {}

    def one(probe: dict[str, Any]) -> None:
        try:
            results[probe["name"]] = KINDS[probe["kind"]](probe, wait_s if probe["kind"] == "ping" else wait_s * 1.5)
        except Exception as error:  # a probe that could not be tried says so, and the others go on
            results[probe["name"]] = {"ok": False, "errors": [{"errno": 0, "what": repr(error)}], "untried": True}

    threads = [threading.Thread(target=one, args=(probe,), daemon=True) for probe in probes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(wait_s * 3 + 2)
    return results
