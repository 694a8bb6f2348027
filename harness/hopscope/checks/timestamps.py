"""Are the timestamps of a flow shifted by one constant through a box (RFC 7323)?

A box may move the server's clock for the client: TSval of server segments by a constant, TSecr of client segments by
the same constant back. The constant is not known beforehand: it is what most of the flow's segments show. Timestamps
that the next end has not agreed to may be taken out, and have to be (see ``options``).
"""

from __future__ import annotations

import numpy as np

from hopscope.checks.evidence import of_rows
from hopscope.checks.faults import Faults
from hopscope.checks.options import agreement
from hopscope.checks.view import Ints, View, among, keys
from hopscope.wire.packets import FIN, RST, Packets
from hopscope.wire.seq import add, distance, sub
from hopscope.wire.trace import Trace


def judge(trace: Trace, up: bool, before: View, after: View, faults: Faults) -> Ints:
    """Hold the timestamps of one direction's segments after a box against those of their twins before it.

    Returns the constant of each flow: that of TSval towards the client, of TSecr towards the server; -1 unknown.
    """
    constant = np.full(len(trace.whole), -1, dtype=np.int64)
    source, target = trace.taps[before.position].packets, trace.taps[after.position].packets
    first, second = _pairs(source, before, target, after)
    if not len(first):
        return constant
    rows_in, rows_out, flow = before.row[first], after.row[second], after.flow[second]
    taken_out = (source.tsval[rows_in] >= 0) & (target.tsval[rows_out] < 0)
    lost = (source.tsval[rows_in] >= 0) != (target.tsval[rows_out] >= 0)
    if taken_out.any():
        told, agreed = agreement(trace, after.position, "timestamps")
        lost &= ~(taken_out & (told & ~agreed)[flow])
    faults.add("timestamps option on one side only", flow[lost])
    for at in np.flatnonzero(lost).tolist():
        words = [
            ("absent", "present")[int(tap.tsval[row] >= 0)]
            for tap, row in ((source, rows_in[at]), (target, rows_out[at]))
        ]
        faults.show(
            of_rows(
                trace, after.position, [rows_out[at]], flow=int(flow[at]), expected=f"timestamps option {words[0]}",
                seen=words[1],
            )
        )  # fmt: skip
    for field, shifted in (("tsval", not up), ("tsecr", up)):
        was, now = getattr(source, field)[rows_in], getattr(target, field)[rows_out]
        usable = (was > 0) & (now >= 0) if field == "tsecr" else (was >= 0) & (now >= 0)
        gone = usable & (now == 0) & (field == "tsecr")  # zero is no echo of anything
        shift = sub(now, was)
        usual = _usual(flow[usable & ~gone], shift[usable & ~gone], len(trace.whole))
        if not shifted:
            usual = np.where(usual >= 0, 0, -1)  # nobody has a reason to move this clock
        else:
            constant = usual
        wrong = usable & (shift != usual[flow])
        name = {"tsval": "TSval", "tsecr": "TSecr"}[field]
        faults.add(f"{name} off its flow's shift", flow[wrong])
        for at in np.flatnonzero(wrong).tolist():
            if faults.full:
                break
            known = int(usual[flow[at]])
            should = f"{name} {(int(was[at]) + known) % 2**32}" if known >= 0 else f"an echo of {int(was[at])}"
            faults.show(
                of_rows(
                    trace, after.position, [rows_out[at]], flow=int(flow[at]), expected=should,
                    seen=f"{name} {int(now[at])}",
                )
            )  # fmt: skip
    return constant


def agree(trace: Trace, after: View, echoed: Ints, shown: Ints, faults: Faults) -> None:
    """What a box adds to TSval for the client it must take from TSecr for the server.

    ``after`` are the segments towards the server behind the box, ``echoed`` and ``shown`` the constants by flow.
    """
    wrong = (echoed >= 0) & (shown >= 0) & (add(echoed, np.maximum(shown, 0)) != 0)
    faults.add("TSecr not shifted back by what TSval was shifted", np.flatnonzero(wrong))
    tsecr = trace.taps[after.position].packets.tsecr
    for flow in np.flatnonzero(wrong).tolist():
        if faults.full:
            return
        rows = [row for row in after.row[after.flow == flow].tolist() if tsecr[row] > 0][:1]
        should = [f"TSecr {(int(tsecr[row]) - int(echoed[flow]) - int(shown[flow])) % 2**32}" for row in rows]
        seen = [f"TSecr {int(tsecr[row])}: TSval moved by {int(shown[flow])}, TSecr by {int(echoed[flow])}"
                for row in rows]  # fmt: skip
        faults.show(
            of_rows(trace, after.position, rows, flow=flow, expected="".join(should), seen="".join(seen))
        )  # fmt: skip


def _pairs(source: Packets, before: View, target: Packets, after: View) -> tuple[Ints, Ints]:
    """Indices of twins: the n-th segment with the same numbers on either side, where both sides saw as many of them.

    They are counted by their clock, which a constant shift leaves in order, and a link that reorders does not.
    """
    plain_before, plain_after = np.flatnonzero(~before.has(RST)), np.flatnonzero(~after.has(RST))
    key_before, key_after = _key(before[plain_before]), _key(after[plain_after])
    order_before = _by_clock(source, before[plain_before], key_before)
    order_after = _by_clock(target, after[plain_after], key_after)
    values_before, count_before = np.unique(key_before, return_counts=True)
    values_after, count_after = np.unique(key_after, return_counts=True)
    both, at_before, at_after = np.intersect1d(values_before, values_after, assume_unique=True, return_indices=True)
    even = both[count_before[at_before] == count_after[at_after]]
    kept_before = order_before[among(key_before[order_before], even)]
    kept_after = order_after[among(key_after[order_after], even)]
    return plain_before[kept_before], plain_after[kept_after]


def _by_clock(packets: Packets, seen: View, key: np.ndarray) -> Ints:
    """Order by key, then TSval, then TSecr (on the circle, from those of any segment with the key), then time."""
    _, some, of = np.unique(key, return_index=True, return_inverse=True)
    values = packets.tsval[seen.row], packets.tsecr[seen.row]
    tsval, tsecr = (distance(value, value[some][of]) if len(value) else value for value in values)
    return np.lexsort((seen.time, tsecr, tsval, key))


def _key(seen: View) -> np.ndarray:
    return keys(seen.flow, seen.seq, seen.length, np.where(seen.acks, seen.ack, -1), seen.flags & FIN)


def _usual(flow: Ints, shift: Ints, flows: int) -> Ints:
    """The most frequent shift of each flow; -1 where there is none."""
    usual = np.full(flows, -1, dtype=np.int64)
    if not len(flow):
        return usual
    pairs, number = np.unique(flow << 32 | shift, return_counts=True)
    order = np.argsort(number, kind="stable")  # the last write, of the largest number, wins
    usual[pairs[order] >> 32] = pairs[order] & 0xFFFFFFFF
    return usual
