"""Are the captures of a tunnel evidence? Nothing lost, and one of the device and of the underlay of each end.

Cannot prove: that a device's capture began with its first packet: taps begin when the device is there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hopscope.checks.evidence import count
from hopscope.checks.verdict import Evidence, Outcome, Verdict, inconclusive, passed
from hopscope.wire.tunnel import Capture, TunnelTrace


@dataclass(frozen=True)
class TunnelHealth:
    name: str = "capture_health"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        problems = [each for capture in trace.captures for each in complaints(capture)]
        problems += [
            Evidence(None, name, (), "the capture that the side-car names", "it is not there") for name in trace.missing
        ]
        for side in trace.sides:
            for where, captures in ((side.device, side.tun), ("its underlay", side.underlay)):
                if not captures:
                    problems.append(Evidence(None, f"{side.host}", (), f"a capture of {where}", "there is none"))
        packets = sum(len(capture.packets) for capture in trace.captures)
        if problems:
            unsound = len({problem.tap for problem in problems})
            return inconclusive(
                self.name, f"{count(unsound, 'capture')} of {len(trace.captures)}: "
                f"{problems[0].seen} ({problems[0].tap})", judged=len(trace.captures), evidence=problems,
                metrics={"packets": packets},
            )  # fmt: skip
        return passed(
            self.name, f"{count(len(trace.captures), 'tap')}, {packets:,} packets, none lost",
            judged=len(trace.captures), metrics={"packets": packets},
        )  # fmt: skip


def tunnel_health() -> TunnelHealth:
    return TunnelHealth()


def complaints(capture: Capture) -> list[Evidence]:
    """Why one capture may have missed packets."""
    found = [("a capture whose side-car shows that it is whole", doubt) for doubt in capture.doubts]
    if capture.packets.truncated:
        found.append(("whole records until the end of the file", "the file ends in the middle of a record"))
    health = capture.health
    if health is None and not capture.doubts:
        found.append(("counters beside the capture", "no counters: losses would not show"))
    if health is not None and not capture.doubts:
        if health.dropped:
            found.append(("dropped 0", f"dropped {health.dropped:,}"))
        if health.captured != health.received:
            found.append((f"captured {health.received:,}, as received", f"captured {health.captured:,}"))
        if health.captured != len(capture.packets):
            wanted, seen = (
                f"{health.captured:,} packets in the file, as counted",
                f"{len(capture.packets):,} packets in it",
            )
            found.append((wanted, seen))
    return [Evidence(None, capture.file, (), expected, seen) for expected, seen in found]


def covers(captures: tuple[Capture, ...], start_ns: int, end_ns: int) -> bool:
    """One of the captures was sound and live for the whole of a span: what it does not show was not there."""
    return any(
        not complaints(each)
        and each.health is not None
        and each.health.live_ns is not None
        and each.health.live_ns <= start_ns
        and each.health.end_ns is not None
        and each.health.end_ns >= end_ns
        for each in captures
    )


def weighed(verdict: Verdict, trace: TunnelTrace) -> Verdict:
    """A PASS that rests on a capture that may have missed something is none."""
    unsound = [capture.file for capture in trace.captures if complaints(capture)]
    if verdict.outcome is not Outcome.PASS or not unsound:
        return verdict
    return replace(
        verdict,
        outcome=Outcome.INCONCLUSIVE,
        summary=f"{verdict.summary}; but {', '.join(unsound)} may have missed packets",
    )
