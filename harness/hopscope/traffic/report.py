"""What a run of the generator says: every connection's outcome, and the rate achieved next to the one asked for.

These are the application's own stamps. They stand beside the captures and never in place of them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hopscope.errors import EnvironmentFault, HarnessFault
from hopscope.traffic.generator import established_rate

#: Requested and established rate may differ by this share.
RATE_TOLERANCE = 0.05
RATE_STALL_S = 0.5
"""Stalls of the client's machine, which are five percent of ten seconds and say nothing about a rate."""
#: Fewer connections than this say nothing about a rate.
RATE_SAMPLES = 50


class RateMissed(EnvironmentFault):
    """The client could not keep to the rate that was asked for; ``report`` has every outcome."""

    def __init__(self, message: str, report: TrafficReport, evidence: str) -> None:
        super().__init__(message, evidence=evidence)
        self.report = report


@dataclass(frozen=True)
class Connection:
    """One connection as the generator saw it. Times are ns on the client's clock, None for what did not happen.

    ``late_ns`` is how long after its place on the timeline it started; ``outcome`` is one of ok, late (all of it came,
    after the deadline), refused, reset, timeout (it did not come in the grace either), short (closed before its last
    byte) and error, with ``error`` in words; ``bytes`` came back. ``missed`` says what the deadline passed in front of.
    """

    index: int
    local_port: int
    port: int
    late_ns: int
    start_ns: int
    connect_ns: int | None
    first_byte_ns: int | None
    end_ns: int | None
    outcome: str
    bytes: int
    error: str | None
    missed: str | None = None

    @property
    def ttfb_ns(self) -> int | None:
        return None if self.first_byte_ns is None else self.first_byte_ns - self.start_ns


@dataclass(frozen=True)
class TrafficReport:
    """A run of the generator. ``cc`` is the congestion control that its sockets really used, ``server`` what the
    responder counted meanwhile."""

    connections: tuple[Connection, ...]
    requested_rate: float | None
    established_rate: float | None
    cc: str
    server: Mapping[str, int]

    @property
    def asked(self) -> int:
        return len(self.connections)

    @property
    def established(self) -> int:
        return sum(each.connect_ns is not None for each in self.connections)

    @property
    def completed(self) -> int:
        """Connections whose every byte came back right and that were closed in order."""
        return sum(each.outcome == "ok" for each in self.connections)

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(Counter(each.outcome for each in self.connections))

    @property
    def late_max_ns(self) -> int:
        return max((each.late_ns for each in self.connections), default=0)

    @property
    def started_rate(self) -> float | None:
        """Connections started per second, measured as the established rate is; None without a rate."""
        stamps = [each.start_ns for each in self.connections]
        return established_rate(stamps, self.asked, self.requested_rate)

    def failed(self) -> list[Connection]:
        """All that were not in order and in time."""
        return [each for each in self.connections if each.outcome != "ok"]

    def late(self) -> list[Connection]:
        """Slow, not broken: complete, but after the deadline."""
        return [each for each in self.connections if each.outcome == "late"]

    def broken(self) -> list[Connection]:
        """Neither in time nor within the grace."""
        return [each for each in self.connections if each.outcome not in ("ok", "late")]

    def explain(self) -> str:
        """What failed, slow told apart from broken, in a few lines; empty when nothing did."""
        lines = []
        if late := self.late():
            last = max(late, key=lambda each: (each.end_ns or 0) - each.start_ns)
            lines.append(f"slow: {len(late)} of {self.asked} came late, the last of them: {last.error}")
        if broken := self.broken():
            lines.append(f"broken: {len(broken)} of {self.asked} did not come")
            reasons = Counter(f"{each.outcome}: {each.missed or each.error}" for each in broken)
            lines += [f"    {count} x {reason}" for reason, count in reasons.most_common(5)]
            lines.append(f"    the first of them: {broken[0].error}")
        return "\n".join(lines)

    def ttfb_ns(self, quantile: float) -> float:
        """Nearest-rank quantile of time to first byte in ns; NaN when no byte came back."""
        known = sorted(each.ttfb_ns for each in self.connections if each.ttfb_ns is not None)
        if not known:
            return math.nan
        return float(known[max(0, math.ceil(quantile * len(known)) - 1)])

    def summary(self) -> dict[str, Any]:
        """One object for a manifest."""
        return {
            "asked": self.asked,
            "established": self.established,
            "completed": self.completed,
            "outcomes": self.outcomes,
            "requested_rate": self.requested_rate,
            "established_rate": self.established_rate,
            "late_max_ns": self.late_max_ns,
            "ttfb_p50_ns": None if math.isnan(self.ttfb_ns(0.5)) else self.ttfb_ns(0.5),
            "cc": self.cc,
            "server": dict(self.server),
        }

    def check_rate(self) -> None:
        """Raise RateMissed when the client could not keep to the rate: connections started late, or all of them came
        in order and yet not 95 % to 105 % as fast as asked for; either by more than stalls of 0.5 s.

        Connections that failed make a rate low as well, and say nothing about the environment: they are outcomes, for
        the test and its checks to judge. A burst and fewer than 50 connections are not judged.
        """
        if self.requested_rate is None or self.established_rate is None or self.asked < RATE_SAMPLES:
            return
        started = self.started_rate or 0.0
        if self._off(started):
            self._miss(f"{started:.1f} connections per second were started of {self.requested_rate:g} asked for")
        if not self.failed() and self._off(self.established_rate):
            self._miss(
                f"{self.established_rate:.1f} connections per second were established of "
                f"{self.requested_rate:g} asked for"
            )

    def _off(self, rate: float) -> bool:
        wanted = self.requested_rate or 0.0
        if abs(rate - wanted) <= RATE_TOLERANCE * wanted:
            return False
        return not rate or abs(self.asked / rate - self.asked / wanted) > RATE_STALL_S

    def _miss(self, message: str) -> None:
        evidence = [f"{self.established} of {self.asked} established, {self.completed} completed"]
        evidence += [f"started at most {self.late_max_ns / 1e6:.1f} ms late"]
        raise RateMissed(message, self, "\n".join([*evidence, *self.explain().splitlines()]))


def parse(text: str, server: Mapping[str, int] | None = None) -> TrafficReport:
    """The report in the generator's JSON lines. HarnessFault when its summary is missing or a line is damaged."""
    connections = []
    summary: dict[str, Any] | None = None
    try:
        for line in text.splitlines():
            fact = json.loads(line)
            if "summary" in fact:
                summary = fact["summary"]
            else:
                connections.append(_connection(fact))
    except (ValueError, KeyError, TypeError) as error:
        raise HarnessFault(f"the generator's output is damaged: {error!r}", evidence=text[-500:]) from None
    if summary is None or summary["asked"] != len(connections):
        raise HarnessFault("the generator's output is not whole: no summary", evidence=text[-500:])
    return TrafficReport(
        connections=tuple(connections),
        requested_rate=summary["requested_rate"],
        established_rate=summary["established_rate"],
        cc=summary["cc"],
        server=dict(server or {}),
    )


def _connection(fact: Mapping[str, Any]) -> Connection:
    return Connection(
        index=fact["i"],
        local_port=fact["local_port"],
        port=fact["port"],
        late_ns=fact["late_ns"],
        start_ns=fact["start_ns"],
        connect_ns=fact["connect_ns"],
        first_byte_ns=fact["first_byte_ns"],
        end_ns=fact["end_ns"],
        outcome=fact["outcome"],
        bytes=fact["bytes"],
        error=fact["error"],
        missed=fact.get("missed"),
    )
