"""What captures show that no check judges: told with every judgement, and no reason to fail.

rtt samples   an end that is answered early takes the round trip of one hop for that of the path: BBR keeps it as its
              least, and any sender times its first retransmission by it;
early repeats segments that an end sent again sooner than the path could have answered;
losses        where segments were lost, created or changed, repaired by TCP or not;
counts        packets of flows without loss that do not add up from tap to tap (see ``identities``);
clocks        where hosts do not share one, how far each may be ahead of its neighbour, by packets that both saw, and
              beside it what chrony vouches for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hopscope.checks.evidence import count
from hopscope.checks.sights import Sights, Timing, look
from hopscope.wire.trace import Trace


@dataclass(frozen=True, slots=True)
class Observation:
    name: str
    told: str
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "told": self.told, "metrics": {key: float(v) for key, v in self.metrics.items()}}


def observe(trace: Trace) -> tuple[Observation, ...]:
    """All that is worth telling of a trace; nothing for a trace without whole flows."""
    return tell(look(trace))


def tell(sights: Sights) -> tuple[Observation, ...]:
    found: list[Observation] = []
    for host, timing in sights.ends.items():
        found += _samples(host, timing)
        found += _repeats(host, timing)
    return (*found, *_losses(sights), *_counts(sights), *_clocks(sights))


def _samples(host: str, timing: Timing) -> Iterator[Observation]:
    """Flows whose handshake was less than half as long as the least answer to data that the end sent."""
    short = 2 * timing.asked < timing.answered
    if short.any():
        least, true = (int(np.median(sample[short])) for sample in (timing.asked, timing.answered))
        yield Observation(
            f"rtt_sample_{host}",
            f"{host}: the handshake of {count(int(short.sum()), 'flow')} of {len(short):,} took "
            f"{least / 1e6:.3f} ms (median), an answer from the other end {true / 1e6:.3f} ms: its first round-trip "
            "sample is not the path's",
            {"flows": int(short.sum()), "judged": len(short), "handshake_ns": least, "path_ns": true},
        )


def _repeats(host: str, timing: Timing) -> Iterator[Observation]:
    early = int(np.count_nonzero(timing.waited < timing.least))
    if len(timing.waited):
        yield Observation(
            f"repeats_{host}",
            f"{host}: {count(len(timing.waited), 'segment')} sent again, {early:,} of them sooner than the path could "
            "have answered",
            {"repeated": len(timing.waited), "early": early},
        )


def _losses(sights: Sights) -> Iterator[Observation]:
    """By place, what did not come through as it went in."""
    for (place, up), loss in sights.losses.items():
        if any(loss.ranges.values()):
            what = ", ".join(f"{number:,} {kind.value} ({loss.octets[kind]:,} bytes)"
                             for kind, number in loss.ranges.items() if number)  # fmt: skip
            doubt = "" if loss.proven else " (a capture may have missed them)"
            yield Observation(
                "losses", f"{place}, to the {'server' if up else 'client'}: {what}{doubt}",
                {kind.value: number for kind, number in loss.ranges.items()},
            )  # fmt: skip


def _counts(sights: Sights) -> Iterator[Observation]:
    flows = max((len(each) for each in sights.counted.values()), default=0)
    if flows:
        off = {name: int((each.packets - each.wanted).sum()) for name, each in sights.counted.items()}
        wrong = {name: number for name, number in off.items() if number}
        told = ", ".join(f"{number:+,} at {name}" for name, number in wrong.items()) or "add up at every tap"
        yield Observation("counts", f"packets of {count(flows, 'flow')} without loss: {told}", wrong)


def _clocks(sights: Sights) -> Iterator[Observation]:
    for (first, second), clocks in sights.clocks.items():
        low, high = clocks.low, clocks.high
        told = f"{second} is {low / 1e6:+.3f} to {high / 1e6:+.3f} ms ahead of {first}, by packets of both"
        metrics = {"low_ns": low, "high_ns": high}
        if clocks.vouched is not None:
            metrics["chrony_ns"] = clocks.vouched
            wrong = max(low, -high) > clocks.vouched
            told += f"; chrony vouches for {clocks.vouched / 1e6:.3f} ms{', which that contradicts' if wrong else ''}"
        yield Observation(f"clock_{second}", told, metrics)
