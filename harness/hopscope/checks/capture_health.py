"""Are the captures evidence? Nothing lost, live before the first flow, something seen everywhere, a common window.

Cannot prove: that a quiet tap would have seen more. What a switch, a router or a card lost before the tap is lost on
the path. Where no counters lie beside a capture, what it lost does not show, and it is judged as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.verdict import Evidence, Verdict, inconclusive, not_applicable, passed
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace


@dataclass(frozen=True)
class CaptureHealth:
    name: str = "capture_health"

    def __call__(self, trace: Trace) -> Verdict:
        problems = [
            problem for position in trace.taps for problem in (*complaints(trace, position), *silence(trace, position))
        ]
        problems += [
            Evidence(None, file, (), "the capture that the side-car names", "it is not there") for file in trace.missing
        ]
        window = trace.window
        if window.start_ns is not None and window.end_ns is not None and window.start_ns >= window.end_ns:
            problems.append(
                Evidence(None, "all taps", (), "a time when all taps were live", "the taps were never live together")
            )
        problems += gaps(trace)
        packets = sum(len(tap.packets) for tap in trace.taps.values())
        if not trace.taps:
            return inconclusive(self.name, "no capture")
        if problems:
            unsound = len({problem.tap for problem in problems})
            return inconclusive(
                self.name, f"{count(unsound, 'capture')} of {len(trace.taps)}: {problems[0].seen} ({problems[0].tap})",
                judged=len(trace.taps), evidence=problems, metrics={"packets": packets},
            )  # fmt: skip
        untold = [tap.file for tap in trace.taps.values() if tap.health is None]
        if untold:
            return not_applicable(
                self.name,
                f"no counters beside {', '.join(untold)}: losses of the capture would not show; judged as they are",
            )
        return passed(
            self.name, f"{count(len(trace.taps), 'tap')}, {packets:,} packets, none lost", judged=len(trace.taps),
            metrics={"packets": packets},
        )  # fmt: skip


def capture_health() -> CaptureHealth:
    return CaptureHealth()


def unhealthy(trace: Trace) -> tuple[str, ...]:
    """File names of the taps that are no evidence for anything that they do not show."""
    return (*(tap.file for position, tap in trace.taps.items() if complaints(trace, position)), *trace.missing)


def complaints(trace: Trace, position: Position) -> list[Evidence]:
    """Why one capture may have missed packets. Without counters only a file cut short tells."""
    tap = trace.taps[position]
    found: list[tuple[str, str]] = []
    packets, health = tap.packets, tap.health
    if packets.truncated:
        found.append(("whole records until the end of the file", "the file ends in the middle of a record"))
    found += [("a capture whose side-car shows that it is whole", doubt) for doubt in tap.doubts]
    if health is not None:
        if health.dropped:
            found.append(("dropped 0", f"dropped {health.dropped:,}"))
        if health.captured != health.received:
            found.append((f"captured {health.received:,}, as received", f"captured {health.captured:,}"))
        held = len(packets) + tap.elsewhere.packets
        if health.captured != held and not packets.truncated:
            found.append((f"{health.captured:,} packets in the file, as counted", f"{held:,} packets in the file"))
        flows = packets.time[trace.flow_of[position] >= 0]
        if health.live_ns is not None and len(flows) and int(flows.min()) < health.live_ns:
            late = health.live_ns - int(flows.min())
            found.append(("live before the first flow", f"live {late / 1e6:.3f} ms after a flow's first frame"))
    return [Evidence(None, tap.file, (), expected, seen) for expected, seen in found]


def gaps(trace: Trace) -> list[Evidence]:
    """Flows that live captures should have held from SYN to end, and did not: nobody judges them."""
    flows = np.flatnonzero(trace.unjudged)
    if not len(flows):
        return []
    here = min(trace.taps)
    one = trace.flows[int(flows[0])]
    seen = f"{count(len(flows), 'flow')} not wholly within the captures and not judged, such as {one.label}"
    expected = "every flow that began under live captures whole"
    return [of_rows(trace, here, one.rows(here)[:1], flow=one.index, expected=expected, seen=seen)]


def silence(trace: Trace, position: Position) -> list[Evidence]:
    """A capture that holds nothing. With sound counters it is still evidence: nothing came by."""
    tap = trace.taps[position]
    return (
        []
        if len(tap.packets) + tap.elsewhere.packets
        else [Evidence(None, tap.file, (), "at least one packet", "an empty capture")]
    )
