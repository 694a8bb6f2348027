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

from hopscope.checks.correlation import Kind, correlate
from hopscope.checks.evidence import count
from hopscope.checks.identities import countable, packets, wanted
from hopscope.checks.view import Bools, Ints, keys, rewritten, view
from hopscope.wire.packets import ACK, FIN, RST, SYN
from hopscope.wire.seq import distance
from hopscope.wire.taps import HOPS, Position
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
    if not trace.whole.any():
        return ()
    found: list[Observation] = []
    for end, up in ((Position.CLIENT, True), (Position.SERVER, False)):
        if end in trace.taps:
            found += _samples(trace, end, up)
            found += _repeats(trace, end, up)
    return (*found, *_losses(trace), *_counts(trace), *_clocks(trace))


def _samples(trace: Trace, end: Position, up: bool) -> Iterator[Observation]:
    """Flows whose handshake was less than half as long as the least answer to data that the end sent."""
    asked, path = handshake_sample(trace, end, up), path_sample(trace, end, up)
    both = (asked >= 0) & (path >= 0) & trace.whole
    short = both & (2 * asked < path)
    if short.any():
        least, true = (int(np.median(sample[short])) for sample in (asked, path))
        yield Observation(
            f"rtt_sample_{trace.taps[end].host}",
            f"{trace.taps[end].host}: the handshake of {count(int(short.sum()), 'flow')} of {int(both.sum()):,} took "
            f"{least / 1e6:.3f} ms (median), an answer from the other end {true / 1e6:.3f} ms: its first round-trip "
            "sample is not the path's",
            {"flows": int(short.sum()), "judged": int(both.sum()), "handshake_ns": least, "path_ns": true},
        )


def _repeats(trace: Trace, end: Position, up: bool) -> Iterator[Observation]:
    early, repeats = early_repeats(trace, end, up)
    if len(repeats):
        yield Observation(
            f"repeats_{trace.taps[end].host}",
            f"{trace.taps[end].host}: {count(len(repeats), 'segment')} sent again, {int(early.sum()):,} of them sooner "
            "than the path could have answered",
            {"repeated": len(repeats), "early": int(early.sum())},
        )


def handshake_sample(trace: Trace, end: Position, up: bool) -> Ints:
    """What each flow's end has measured with its first segment, ns: SYN to SYN-ACK, or SYN-ACK to ACK; -1 unknown."""
    tap = trace.rows[end]
    sent = tap.first(tap.syn if up else tap.synack)
    flags = tap.packets.flags
    back = tap.synack if up else (flags & (ACK | SYN | RST) == ACK) & tap.to_server
    return _took(trace, end, sent, tap.first(back))


def path_sample(trace: Trace, end: Position, up: bool) -> Ints:
    """How long each flow's first payload out of an end was without its acknowledgement, ns; -1 unknown."""
    tap = trace.rows[end]
    mine = (tap.flow >= 0) & (tap.to_server == up) & (tap.packets.flags & RST == 0)
    sent = tap.first(mine & (tap.packets.payload_len > 0))
    reach = np.zeros(len(trace), np.int64)
    have = sent >= 0
    reach[have] = tap.packets.seq[sent[have]].astype(np.int64) + tap.packets.payload_len[sent[have]]
    other = (tap.flow >= 0) & (tap.to_server != up) & (tap.packets.flags & (ACK | RST) == ACK)
    acked = distance(tap.packets.ack, reach[tap.flow]) >= 0 if len(trace) else other
    return _took(trace, end, sent, tap.first(other & acked))


def early_repeats(trace: Trace, end: Position, up: bool) -> tuple[Bools, Ints]:
    """Segments of an end that it had sent before: which came before an answer could have, and their rows."""
    seen = view(trace, end, trace.whole)
    seen = seen[(seen.up == up) & (seen.length > 0) & ~seen.has(RST)]
    key = keys(seen.flow, seen.seq, seen.length, seen.flags & FIN)
    order = np.lexsort((seen.time, key))
    again = np.flatnonzero(key[order][1:] == key[order][:-1])
    row, waited = seen.row[order[again + 1]], seen.time[order[again + 1]] - seen.time[order[again]]
    least = path_sample(trace, end, up)
    known = least[least >= 0]
    shortest = int(known.min()) if len(known) else -1
    return np.asarray(waited < shortest), row


def _took(trace: Trace, end: Position, sent: Ints, back: Ints) -> Ints:
    time = trace.taps[end].packets.time
    both = (sent >= 0) & (back >= 0)
    out = np.full(len(sent), -1, np.int64)
    out[both] = time[back[both]] - time[sent[both]]
    return np.maximum(out, -1)


def _losses(trace: Trace) -> Iterator[Observation]:
    """By place, what did not come through as it went in."""
    for way in correlate(trace):
        told = {kind: len(way.of(kind)) for kind in Kind}
        if any(told.values()):
            what = ", ".join(f"{number:,} {kind.value} ({way.bytes_of(kind):,} bytes)"
                             for kind, number in told.items() if number)  # fmt: skip
            doubt = "" if way.proven else " (a capture may have missed them)"
            yield Observation(
                "losses", f"{way.place}, to the {'server' if way.up else 'client'}: {what}{doubt}",
                {kind.value: number for kind, number in told.items()},
            )  # fmt: skip


def _counts(trace: Trace) -> Iterator[Observation]:
    flows = rewritten(trace) & countable(trace)
    off = {
        trace.taps[position].name: int(np.sum((packets(trace, position) - expected)[flows & (expected >= 0)]))
        for position, expected in wanted(trace).items()
    }
    if flows.any() and off:
        wrong = {name: number for name, number in off.items() if number}
        told = ", ".join(f"{number:+,} at {name}" for name, number in wrong.items()) or "add up at every tap"
        yield Observation("counts", f"packets of {count(int(flows.sum()), 'flow')} without loss: {told}", wrong)


def _clocks(trace: Trace) -> Iterator[Observation]:
    for near, far in () if trace.same_clock else HOPS:
        if near not in trace.taps or far not in trace.taps:
            continue
        first, second = trace.taps[near], trace.taps[far]
        if (bounds := trace.clock_offset(near, far)) is None:
            continue
        low, high = bounds
        told = f"{second.host} is {low / 1e6:+.3f} to {high / 1e6:+.3f} ms ahead of {first.host}, by packets of both"
        metrics = {"low_ns": low, "high_ns": high}
        if first.clock_error_ns is not None and second.clock_error_ns is not None:
            vouched = metrics["chrony_ns"] = first.clock_error_ns + second.clock_error_ns
            wrong = max(low, -high) > vouched
            told += f"; chrony vouches for {vouched / 1e6:.3f} ms{', which that contradicts' if wrong else ''}"
        yield Observation(f"clock_{second.host}", told, metrics)
