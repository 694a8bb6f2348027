"""What a box may do to TCP options: take away, never promise or send what an end has not agreed to.

SYN       through a box MSS may fall and options may go; none may come, MSS may not rise, and a window scale is what its
          sender means by it and not changed (RFC 9293, 3.7.1; RFC 7323, 2.2). The server's own SYN-ACK likewise, where
          it comes through.
SYN-ACK   one that a box made for the client has window scale and timestamps only where the SYN had them (RFC 7323, 1.3
          and 3.2), and SACK-permitted as well: nobody answers an offer that was not made.
after it  towards an end come no timestamps and no SACK blocks that this end has not agreed to, and no segment that is
          larger than the MSS that it announced (RFC 9293, 3.7.1; options count, RFC 6691). Sizes are judged where
          offloads are known to be off.

A promise that the server does not keep is no fault of this check as long as the box makes it good: it takes the
timestamps out again, scales windows, cuts segments.

Cannot prove: anything of options that the captures' flows did not use, nor sizes where offloads are on, or nobody told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hopscope.checks.evidence import count, of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.stretch import between
from hopscope.checks.verdict import Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints, rewritten
from hopscope.wire.packets import RST, SYN, V4_MAPPED, Packets
from hopscope.wire.taps import Position
from hopscope.wire.trace import Trace

_DEFAULT_MSS = {4: 536, 6: 1220}
"""Of an end that announces none (RFC 9293, 3.7.1)."""


@dataclass(frozen=True)
class Options:
    claim: str | None = None
    name: str = "options"

    def __call__(self, trace: Trace) -> Verdict:
        if not trace.whole.any():
            return inconclusive(self.name, "no flow lies wholly within the captures")
        ways = [way for way in between(trace) if way.boxes]
        if not ways:
            if rewritten(trace, self.claim).any():
                return inconclusive(self.name, "no box was captured on both of its sides")
            return not_applicable(self.name, "no box lies between two captures")
        faults, judged, number = Faults(len(trace)), np.zeros(len(trace), np.bool_), 0
        for way in ways:
            for source, target, up in ((way.near, way.far, True), (way.far, way.near, False)):
                rows = _passed_on(trace, source, target, up)
                judged[trace.flow_of[target][rows]] = True
                number += len(rows)
                _add(trace, target, rows, _grown(trace, source, target, up, rows), faults)
        _add_made(trace, faults)
        for end, up in _towards_ends(trace):
            _add_to_end(trace, end, up, faults)
        if not faults.flows.any() and judged.any() and not (judged & (trace.real_isn >= 0)).any():
            return not_applicable(self.name, "no server agreed to anything")
        return self._verdict(judged, number, faults)

    def _verdict(self, judged: Bools, number: int, faults: Faults) -> Verdict:
        flows = int(np.count_nonzero(judged | faults.flows))
        metrics = {"handshakes": number, **faults.counts}
        if faults.flows.any():
            bad = int(np.count_nonzero(faults.flows))
            kinds = ", ".join(f"{kind} ({n:,})" for kind, n in faults.counts.items())
            return failed(
                self.name, f"{count(bad, 'flow')} of {flows:,} with options that nobody agreed to: {kinds}",
                judged=flows, failed=bad, evidence=faults.evidence, metrics=metrics,
            )  # fmt: skip
        if not flows:
            return inconclusive(self.name, "no SYN was captured on both sides of a box", metrics=metrics)
        told = f"of {count(flows, 'flow')} nothing came through a box that was not offered"
        return passed(self.name, told, judged=flows, metrics=metrics)


def options(claim: str | None = None) -> Options:
    return Options(claim)


_Wrong = Iterator[tuple[str, Bools, NDArray[np.generic], NDArray[np.generic]]]
"""Kind, which rows, what each should have at most, what it has."""


@dataclass(frozen=True, eq=False)
class _Offer:
    """What one end's SYN or SYN-ACK offers at a tap, by flow; -1 not offered."""

    seen: Bools
    mss: Ints
    wscale: Ints
    sack: Bools
    stamps: Bools


def offer(trace: Trace, position: Position, up: bool) -> _Offer:
    """Of several SYNs of a flow all that they offer counts; of SYN-ACKs those of the number that the end has taken."""
    tap = trace.rows[position]
    rows = np.flatnonzero(tap.syn if up else tap.synack)
    if not up:
        taken = trace.answered_isn if position <= Position.CLIENTNIC_LAN else trace.real_isn
        rows = rows[tap.packets.seq[rows] == taken[tap.flow[rows]]]
    flow, packets, flows = tap.flow[rows], tap.packets, len(trace)
    seen = np.zeros(flows, np.bool_)
    seen[flow] = True
    most = {}
    for name in ("mss", "wscale", "sack_permitted", "tsval"):
        most[name] = np.full(flows, -1, np.int64)
        np.maximum.at(most[name], flow, getattr(packets, name)[rows].astype(np.int64))
    return _Offer(seen, most["mss"], most["wscale"], most["sack_permitted"] > 0, most["tsval"] >= 0)


def _passed_on(trace: Trace, source: Position, target: Position, up: bool) -> Ints:
    """Rows of the target: SYNs of the client, SYN-ACKs of the server's own number, that the source has seen as well."""
    tap = trace.rows[target]
    rows = np.flatnonzero(tap.syn if up else tap.synack)
    flow = tap.flow[rows]
    there = trace.rows[source].first(trace.rows[source].syn if up else trace.rows[source].synack)
    kept = trace.whole[flow] & (there[flow] >= 0)
    if not up:
        kept &= tap.packets.seq[rows] == trace.rows[source].packets.seq[there[flow]]
    return rows[kept]


def _grown(trace: Trace, source: Position, target: Position, up: bool, rows: Ints) -> _Wrong:
    """What SYNs or SYN-ACKs at the target have that those of their flow at the source have not."""
    packets, flow = trace.taps[target].packets, trace.flow_of[target][rows]
    had = offer(trace, source, up)
    default = np.where(packets.src_lo[rows] >> np.uint64(32) == V4_MAPPED >> 32, _DEFAULT_MSS[4], _DEFAULT_MSS[6])
    limit = np.where(had.mss[flow] < 0, default, had.mss[flow])
    mss, wscale = packets.mss[rows], packets.wscale[rows]
    yield "MSS raised", mss > limit, limit, mss
    yield "window scale changed", (wscale >= 0) & (wscale != had.wscale[flow]), had.wscale[flow], wscale
    yield from _unoffered(trace, target, rows, had, "offered by nobody")


def _unoffered(trace: Trace, target: Position, rows: Ints, had: _Offer, words: str) -> _Wrong:
    packets, flow = trace.taps[target].packets, trace.flow_of[target][rows]
    sack, stamps = packets.sack_permitted[rows], packets.tsval[rows] >= 0
    yield f"SACK {words}", sack & ~had.sack[flow], had.sack[flow], sack
    yield f"timestamps {words}", stamps & ~had.stamps[flow], had.stamps[flow], stamps


def _add_made(trace: Trace, faults: Faults) -> None:
    """SYN-ACKs that boxes have made for the client, against its own SYN."""
    here = min(trace.taps)
    if here > Position.CLIENTNIC_LAN:
        return
    tap = trace.rows[here]
    rows = np.flatnonzero(tap.synack)
    flow = tap.flow[rows]
    had = offer(trace, here, True)
    made = trace.whole & had.seen & (trace.spoofed_isn >= 0) & (trace.spoofed_isn != trace.real_isn)
    rows = rows[made[flow] & (tap.packets.seq[rows] == trace.spoofed_isn[flow])]
    flow, wscale = tap.flow[rows], tap.packets.wscale[rows]
    _add(trace, here, rows, _unoffered(trace, here, rows, had, "answered that was not asked for"), faults)
    unasked = (wscale >= 0) & (had.wscale[flow] < 0)
    kind = "window scale answered that was not asked for"
    _add(trace, here, rows, iter([(kind, unasked, had.wscale[flow], wscale)]), faults)


def _towards_ends(trace: Trace) -> Iterator[tuple[Position, bool]]:
    """The taps right behind the boxes: the server's side, segments towards it; the client's, segments towards that."""
    beyond = [position for position in trace.taps if position >= Position.SERVERNIC_LAN]
    if beyond and min(trace.taps) < Position.SERVERNIC_LAN:
        yield min(beyond), True
    before = [position for position in trace.taps if position <= Position.CLIENTNIC_LAN]
    if before and max(trace.taps) > Position.CLIENTNIC_LAN:
        yield max(before), False


def _add_to_end(trace: Trace, here: Position, up: bool, faults: Faults) -> None:
    """Segments towards one end that carry what it has not agreed to, or are too large for it."""
    packets, rows = trace.taps[here].packets, _talk(trace, here, up)
    flow = trace.flow_of[here][rows]
    for kind, carries in (("timestamps", _stamped), ("SACK blocks", _sacked)):
        known, agreed = agreement(trace, here, kind)
        wrong = (trace.whole & known & ~agreed)[flow] & carries(packets, rows)
        if wrong.any():
            wrong &= ~_sent_so(trace, up, kind, carries)[flow]
        _add(trace, here, rows, iter([(f"{kind} not agreed to", wrong, np.zeros(len(rows)), wrong)]), faults)
    health = trace.taps[here].health
    if health is None or health.offloads:
        return
    size = packets.payload_len[rows] + packets.tcp_hlen[rows] - 20
    limit = offer(trace, here, not up).mss[flow]
    too_large = trace.whole[flow] & (limit >= 0) & (size > limit) & (packets.payload_len[rows] > 0)
    _add(trace, here, rows, iter([("segment larger than the MSS", too_large, limit, size)]), faults)


def agreement(trace: Trace, position: Position, kind: str) -> tuple[Bools, Bools]:
    """By flow: whether the tap shows both SYN and SYN-ACK, and whether both have "timestamps" or "SACK blocks"."""
    asked, answered = offer(trace, position, True), offer(trace, position, False)
    both = asked.stamps & answered.stamps if kind == "timestamps" else asked.sack & answered.sack
    return asked.seen & answered.seen, both


def _sent_so(trace: Trace, up: bool, kind: str, carries: Callable[[Packets, Ints], Bools]) -> Bools:
    """Flows whose sending end does so without an agreement of its own: no box's doing."""
    end = min(trace.taps) if up else max(trace.taps)
    rows, found = _talk(trace, end, up), np.zeros(len(trace), np.bool_)
    found[trace.flow_of[end][rows[carries(trace.taps[end].packets, rows)]]] = True
    return np.asarray(found & ~agreement(trace, end, kind)[1])


def _stamped(packets: Packets, rows: Ints) -> Bools:
    return np.asarray(packets.tsval[rows] >= 0)


def _sacked(packets: Packets, rows: Ints) -> Bools:
    return np.asarray(packets.sack_count[rows] > 0)


def _talk(trace: Trace, position: Position, up: bool) -> Ints:
    """Rows of one direction behind the handshake."""
    tap = trace.rows[position]
    return np.flatnonzero((tap.flow >= 0) & (tap.to_server == up) & (tap.packets.flags & (SYN | RST) == 0))


def _add(trace: Trace, position: Position, rows: Ints, wrong: _Wrong, faults: Faults) -> None:
    flow = trace.flow_of[position][rows]
    for kind, which, limit, seen in wrong:
        faults.add(kind, flow[which])
        for at in np.flatnonzero(which).tolist():
            if faults.full:
                break
            expected, told = (_text(kind, int(values[at])) for values in (limit, seen))
            faults.show(of_rows(trace, position, [rows[at]], flow=int(flow[at]), expected=expected, seen=told))


def _text(kind: str, value: int) -> str:
    """``MSS 536``, ``no timestamps``, ``timestamps``."""
    what = kind.split(" offered")[0].split(" answered")[0].split(" not agreed")[0]
    if what.startswith(("MSS", "segment")):
        return f"{'MSS' if what.startswith('MSS') else 'size with options'} {value}"
    if what.startswith("window scale"):
        return f"window scale {value}" if value >= 0 else "no window scale"
    return what if value > 0 else f"no {what}"
