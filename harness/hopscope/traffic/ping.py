"""Pings whose every echo is accounted for: answered, lost, or refused with an error, which is no answer either.

ping(8) does the sending, so that what is measured on a host that is only reached by SSH is the same. The payload of one
call repeats 16 random bytes, by which its echoes are known in captures, and in what should not show them.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from hopscope.errors import EnvironmentFault
from hopscope.hosts.executor import Executor

TAG_BYTES = 16
SMALL = 84
"""Bytes of an ordinary ping over IPv4."""
HEADERS = {4: 28, 6: 48}
"""Bytes of IP and ICMP header."""
_STAMP = 16  # ping puts its time stamp in front of the pattern

_REPLY = re.compile(r"bytes from .*icmp_seq=(\d+).*time=([\d.]+) ms( \(DUP!\))?")
_SUMMARY = re.compile(r"(\d+) packets transmitted, (\d+) received")
_ERRORS = re.compile(r", \+(\d+) errors")
_WORDS = re.compile(r"^(?:ping: |From )(.*)$", re.MULTILINE)
_SEQUENCE = re.compile(r"icmp_seq=\d+ ")


@dataclass(frozen=True)
class PingReport:
    """``size`` is the length of the IP packets in bytes. ``errors`` counts what came instead of answers, with ``words``
    for each kind; times are those of the call, on the clock of whoever called."""

    host: str
    target: str
    size: int
    sent: int
    received: int
    errors: int
    duplicates: int
    rtts_ms: tuple[float, ...]
    words: tuple[str, ...]
    tag: str
    start_ns: int
    end_ns: int

    @property
    def lost(self) -> int:
        return self.sent - self.received

    @property
    def ok(self) -> bool:
        """Every echo was sent and answered, once, and nobody said an error."""
        return self.sent > 0 and self.received == self.sent and not self.errors and not self.duplicates

    @property
    def loss(self) -> float:
        """Share of the echoes without an answer; 1 where none could be sent."""
        return self.lost / self.sent if self.sent else 1.0

    @property
    def rtt_ms(self) -> float | None:
        """Median round trip, None without an answer."""
        ordered = sorted(self.rtts_ms)
        return ordered[len(ordered) // 2] if ordered else None

    def __str__(self) -> str:
        rtt = "" if self.rtt_ms is None else f", {self.rtt_ms:.2f} ms"
        said = "".join(f"; {each}" for each in self.words)
        return f"{self.host} to {self.target}, {self.size} bytes: {self.received} of {self.sent} answered{rtt}{said}"

    def document(self) -> dict[str, Any]:
        """Plain data for the side-car of the captures."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "rtts_ms"}


def ping(
    host: Executor,
    target: str,
    *,
    count: int = 5,
    size: int = SMALL,
    wait_s: float = 1.0,
    source: str | None = None,
) -> PingReport:
    """Send ``count`` echoes of ``size`` bytes (IP header included) at once, never fragmented, and account for each.

    ``wait_s`` is how long answers are waited for. (ping(8) itself waits for twice the longest round trip so far and
    counts what comes later as lost; but it always waits for one interval, and that is set to ``wait_s``.) Raises
    EnvironmentFault when ``ping`` says nothing that could be counted, such as an option it does not know.
    """
    version = ip_address(target).version
    payload = size - HEADERS[version]
    if payload < _STAMP + TAG_BYTES:
        raise EnvironmentFault(f"a ping of {size} bytes has no room for the tag that makes it known", host=host.name)
    tag = secrets.token_hex(TAG_BYTES)
    wait = f"{wait_s:.3f}"
    argv = ["ping", f"-{version}", "-n", "-M", "do", "-c", str(count), "-l", str(count), "-i", wait, "-W", wait]
    argv += ["-s", str(payload), "-p", tag, *(["-I", source] if source else []), target]
    start_ns = time.time_ns()
    result = host.run(argv, timeout=count * wait_s + 15, check=False)
    text = result.stdout.decode(errors="replace") + result.stderr.decode(errors="replace")
    counted = parse(text)
    if counted is None:
        raise EnvironmentFault(f"`{result.command}` told nothing that can be counted", host=host.name, evidence=text)
    return PingReport(
        host=host.name, target=target, size=size, tag=tag, start_ns=start_ns, end_ns=time.time_ns(), **counted
    )  # fmt: skip


def parse(text: str) -> dict[str, Any] | None:
    """What ping(8) of iputils says, counted; None for what is no account of a ping.

    "Network is unreachable" comes without a summary: nothing was sent then, and that is no success.
    """
    words = tuple(dict.fromkeys(_SEQUENCE.sub("", each) for each in _WORDS.findall(text)))
    summary = _SUMMARY.search(text)
    if summary is None:
        if not any("unreachable" in each for each in words):
            return None
        return {"sent": 0, "received": 0, "errors": 1, "duplicates": 0, "rtts_ms": (), "words": words}
    replies = _REPLY.findall(text)
    errors = _ERRORS.search(text)
    return {
        "sent": int(summary[1]),
        "received": int(summary[2]),
        "errors": int(errors[1]) if errors else 0,
        "duplicates": sum(bool(again) for _, _, again in replies),
        "rtts_ms": tuple(float(rtt) for _, rtt, again in replies if not again),
        "words": words,
    }
