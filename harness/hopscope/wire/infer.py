"""What was done to each flow on its way, told from the captures alone: nothing here knows our rewriters.

The client's ISN names the flow. R is what the server's host sent, V another ISN that reached the client's side, and
the box between whose two sides the server's numbers move from R to V is the translator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hopscope.wire import seq
from hopscope.wire.number import number
from hopscope.wire.rows import TapRows
from hopscope.wire.taps import Position

CLIENT_SIDE = (Position.CLIENT, Position.CLIENTNIC_LAN)
WAN = (Position.CLIENTNIC_WAN, Position.SERVERNIC_WAN)
SERVER_SIDE = (Position.SERVER, Position.SERVERNIC_LAN)

_VOTES = 16
"""Segments of a flow that vote on where its numbers change: enough against a stray one, few enough that none wraps."""

_CLOSE = 1 << 24
"""Bytes: more than a flow's first segments span."""


class Placement(StrEnum):
    """Who translates, as the captures of a flow show it."""

    UNKNOWN = "unknown"
    """The taps do not show it (too few, or no SYN-ACK from the server)."""
    PLAIN = "plain"
    """The client was answered with the server's own ISN."""
    HOLD = "hold"
    """The client was answered with another ISN, and the server's real SYN-ACK crossed the WAN."""
    STAMP = "stamp"
    """The SYN on the WAN carries a stamp in its ack field."""
    EARLY = "early"
    """The client was answered with another ISN and ServerNIC translates, with no stamp to be seen."""


PLACEMENTS: tuple[Placement, ...] = tuple(Placement)
TRANSLATORS: tuple[str, ...] = ("clientnic", "servernic")


@dataclass(frozen=True, eq=False)
class Inference:
    """Arrays aligned with the flow index; see Trace for what each says."""

    real_isn: NDArray[np.int64]
    spoofed_isn: NDArray[np.int64]
    answered_isn: NDArray[np.int64]
    stamp: NDArray[np.int64]
    delta: NDArray[np.int64]
    ts_delta: NDArray[np.int64]
    placement: NDArray[np.int8]
    translator: NDArray[np.int8]


def infer(taps: Mapping[Position, TapRows], flows: int) -> Inference:
    if not flows:
        none, code = np.zeros(0, np.int64), np.zeros(0, np.int8)
        return Inference(none, none, none, none, none, none, code, code)
    real = _real_isn(taps, flows)
    stamp = _stamp(taps, flows)
    spoofed, answered = _client_isns(taps, flows)
    if not any(position in taps for position in CLIENT_SIDE):
        spoofed = stamp.copy()
    both = (real >= 0) & (spoofed >= 0)
    delta = np.where(both, seq.sub(spoofed, real), -1)
    translator = _translator(taps, spoofed, real)
    crossed = np.zeros(flows, np.bool_)
    for position in _present(WAN, taps):
        tap = taps[position]
        crossed |= tap.first(tap.synack & (tap.packets.seq == real[tap.flow])) >= 0
    moved = both & (delta != 0)
    codes = [PLACEMENTS.index(p) for p in (Placement.STAMP, Placement.PLAIN, Placement.EARLY, Placement.HOLD)]
    placement = np.select([stamp >= 0, delta == 0, moved & (translator == 1), moved & crossed], codes, 0)
    return Inference(
        real_isn=real,
        spoofed_isn=spoofed,
        answered_isn=answered,
        stamp=stamp,
        delta=delta,
        ts_delta=_ts_delta(taps, spoofed, real, translator),
        placement=placement.astype(np.int8),
        translator=translator,
    )


def _present(wanted: Sequence[Position], taps: Mapping[Position, TapRows]) -> list[Position]:
    return [position for position in wanted if position in taps]


def _first_isn(
    taps: Mapping[Position, TapRows], wanted: Sequence[Position], flows: int, without: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """ISN of the first SYN-ACK at the first of these taps that has one, leaving out (flow, ISN) keys; -1 none."""
    out = np.full(flows, -1, np.int64)
    for position in _present(wanted, taps):
        tap = taps[position]
        mask = tap.synack
        if without is not None:
            mask = mask & ~np.isin(_isn_keys(tap), without)
        found = tap.value(tap.packets.seq, tap.first(mask))
        out = np.where(out >= 0, out, found)
    return out


def _isn_keys(tap: TapRows) -> NDArray[np.int64]:
    return np.asarray(tap.flow << 32 | tap.packets.seq.astype(np.int64))


def _real_isn(taps: Mapping[Position, TapRows], flows: int) -> NDArray[np.int64]:
    """R: seen at the server's side; on the WAN only when there is no tap beyond it, which no ISN of ServerNIC's
    could fool."""
    return _first_isn(taps, SERVER_SIDE if _present(SERVER_SIDE, taps) else tuple(reversed(WAN)), flows)


def _client_isns(taps: Mapping[Position, TapRows], flows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """V, and the ISN that reached the client first. Where the server's own SYN-ACK reaches the client as well, V
    is the other."""
    sent = [np.zeros(0, np.int64)]
    for position in _present(SERVER_SIDE, taps) or _present(WAN, taps):
        tap = taps[position]
        sent.append(_isn_keys(tap)[tap.synack])
    answered = _first_isn(taps, CLIENT_SIDE, flows)
    foreign = _first_isn(taps, CLIENT_SIDE, flows, np.concatenate(sent))
    return np.where(foreign >= 0, foreign, answered), answered


def _stamp(taps: Mapping[Position, TapRows], flows: int) -> NDArray[np.int64]:
    """Ack field of a SYN on the WAN, where it is neither 0 nor what the client itself had left there."""
    own = np.zeros(flows, np.int64)
    for position in _present(tuple(reversed(CLIENT_SIDE)), taps):
        tap = taps[position]
        row = tap.first(tap.syn)
        own = np.where(row >= 0, tap.value(tap.packets.ack, row), own)
    out = np.full(flows, -1, np.int64)
    for position in _present(WAN, taps):
        tap = taps[position]
        ack = tap.packets.ack.astype(np.int64)
        row = tap.first(tap.syn & (ack != 0) & (ack != own[tap.flow]))
        out = np.where(out >= 0, out, tap.value(ack, row))
    return out


def _translator(
    taps: Mapping[Position, TapRows], spoofed: NDArray[np.int64], real: NDArray[np.int64]
) -> NDArray[np.int8]:
    """Whether the server's numbers on the WAN are still R's (ClientNIC translates) or already V's; early segments
    vote."""
    moved = (spoofed >= 0) & (real >= 0) & (spoofed != real)
    close = np.abs(seq.distance(spoofed, real)) < _CLOSE
    balance = np.zeros(len(spoofed), np.int64)
    for position in _present(WAN, taps):
        tap = taps[position]
        rows, rank = tap.rank(tap.answer)
        # Close to each other, both ISNs explain later segments: the first one alone can tell.
        voters = rank < np.where(close, 1, _VOTES)[tap.flow[rows]]
        flow, value = tap.flow[rows[voters]], tap.packets.seq[rows[voters]]
        to_spoofed, to_real = seq.sub(value, spoofed[flow] + 1), seq.sub(value, real[flow] + 1)
        votes = np.bincount(flow, np.where(to_spoofed < to_real, 1, -1), len(spoofed)).astype(np.int64)
        balance = np.where(balance == 0, votes, balance)
    return np.where(moved & (balance != 0), (balance > 0).astype(np.int8), -1).astype(np.int8)


def _ts_delta(
    taps: Mapping[Position, TapRows],
    spoofed: NDArray[np.int64],
    real: NDArray[np.int64],
    translator: NDArray[np.int8],
) -> NDArray[np.int64]:
    """TSval at the client's side less that at the server's, over the same segments; the commonest difference of a flow.

    The two taps are those right at the translator where they exist: beyond them a lost segment comes again with a
    later stamp.
    """
    sides = {
        0: ((1, 0), (2, 3, 4, 5)),
        1: ((3, 2, 1, 0), (4, 5)),
        -1: ((0, 1), (5, 4, 3, 2)),
    }
    out = np.full(len(real), -1, np.int64)
    for code, (near, far) in sides.items():
        left = _present([Position(n) for n in near], taps)
        right = _present([Position(n) for n in far], taps)
        if left and right:
            mine = (translator == code) & (real >= 0) & (spoofed >= 0)
            out = np.where(mine, _commonest(taps[left[0]], spoofed, taps[right[0]], real), out)
    return out


def _commonest(
    near: TapRows, near_isn: NDArray[np.int64], far: TapRows, far_isn: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For each flow the commonest difference of TSval over segments that both taps saw; -1 none."""
    out = np.full(near.flows, -1, np.int64)
    near_rows, far_rows = _stamped(near, near_isn), _stamped(far, far_isn)
    keys = number(
        np.concatenate([near.flow[near_rows], far.flow[far_rows]]),
        np.concatenate([_offset(near, near_rows, near_isn), _offset(far, far_rows, far_isn)]),
        np.concatenate([near.packets.payload_len[near_rows], far.packets.payload_len[far_rows]]),
    )
    near_keys, far_keys = keys[: len(near_rows)], keys[len(near_rows) :]
    # The same bytes may go twice: only what each tap saw once can be told apart by its key.
    count = int(keys.max(initial=-1)) + 1
    once = (np.bincount(near_keys, minlength=count) == 1) & (np.bincount(far_keys, minlength=count) == 1)
    partner = np.zeros(count, np.int64)
    partner[far_keys] = far.packets.tsval[far_rows]
    matched = once[near_keys]
    rows = near_rows[matched]
    difference = seq.sub(near.packets.tsval[rows], partner[near_keys[matched]])
    pairs, amount = np.unique(near.flow[rows] << 32 | difference, return_counts=True)
    rising = np.argsort(amount, kind="stable")  # the last of several assignments stands: the commonest
    out[pairs[rising] >> 32] = pairs[rising] & 0xFFFFFFFF
    return out


def _stamped(tap: TapRows, isn: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first rows of each flow that carry a timestamp to the client."""
    rows, rank = tap.rank(tap.answer & (tap.packets.tsval >= 0) & (isn[tap.flow] >= 0))
    return rows[rank < _VOTES]


def _offset(tap: TapRows, rows: NDArray[np.int64], isn: NDArray[np.int64]) -> NDArray[np.int64]:
    return seq.sub(tap.packets.seq[rows], isn[tap.flow[rows]])
