"""Every echo of every ping: into the tunnel here, out of it there, answered, and back; where it was lost otherwise.

What ping(8) says is a claim. An echo counts as carried when its request was seen leaving by the device of one end and
arriving by the device of the other, and its reply likewise. One that is answered and was seen on neither device went
another way.

Cannot prove: that anything but ICMP of these sizes gets through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hopscope.checks.evidence import count
from hopscope.checks.tunnel_health import covers
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, passed
from hopscope.wire.tunnel import Capture, PingSaid, Side, TunnelTrace, echoes


@dataclass(frozen=True)
class Pings:
    name: str = "pings"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if not trace.pings:
            return inconclusive(self.name, "no ping was sent")
        evidence: list[Evidence] = []
        unseen: list[Evidence] = []
        for ping in trace.pings:
            problems = _problems(trace, ping)
            seen = bool(ping.words) or all(covers(side.tun, ping.start_ns, ping.end_ns) for side in trace.sides)
            (evidence if seen else unseen).extend(problems)
        sent, received = (sum(getattr(ping, key) for ping in trace.pings) for key in ("sent", "received"))
        metrics = {"sent": sent, "received": received}
        if evidence:
            heads = dict.fromkeys(f"{each.flow}: {each.seen}" for each in evidence)
            return failed(
                self.name, "; ".join(heads), judged=sent, failed=max(sent - received, 1),
                evidence=(*evidence, *unseen), metrics=metrics,
            )  # fmt: skip
        if unseen:
            told = f"{unseen[0].flow}: {unseen[0].seen}; but the captures of the devices are not whole"
            return inconclusive(self.name, told, judged=sent, evidence=unseen, metrics=metrics)
        told = f"{count(len(trace.pings), 'ping')}, {sent} echoes: each in, out, answered and back"
        return passed(self.name, told, judged=sent, metrics=metrics)


def pings() -> Pings:
    return Pings()


Steps = dict[int, int]
"""Sequence numbers of echoes seen at one place, with the frames that show them."""


def _problems(trace: TunnelTrace, ping: PingSaid) -> list[Evidence]:
    """What is wrong with one ping, in the order in which its echoes travel."""
    near, far = trace.side(ping.end), trace.other(ping.end)
    into, out = _seen(near, ping, request=True, leaving=True), _seen(far, ping, request=True, leaving=False)
    back_into, back_out = _seen(far, ping, request=False, leaving=True), _seen(near, ping, request=False, leaving=False)
    there, here = f"{far.device} of {far.host}", f"{near.device} of {near.host}"

    def say(expected: str, seen: str, side: Side = near, frames: Iterable[int] = ()) -> None:
        found.append(_evidence(ping, side, frames, expected, seen))

    found: list[Evidence] = []
    for word in ping.words or ([count(ping.errors, "error")] if ping.errors else []):
        say("no error", word)
    if ping.duplicates:
        say("one answer to each", f"{count(ping.duplicates, 'answer')} too many")
    if ping.received > len(into):
        told = f"{ping.received - len(into)} of {ping.sent} answered and not seen on {here}: they went another way"
        say("every echo through the tunnel", told)
    elif ping.sent > len(into) or not ping.sent:
        told = f"{ping.sent - len(into)} of {ping.sent} never entered {here}" if ping.sent else "none could be sent"
        say("every echo into the tunnel", told)
    if lost := sorted(into.keys() - out.keys()):
        told = f"{len(lost)} of {ping.sent} lost between {here} and {there}: {_where(trace, ping, near, far, into)}"
        say("out of the tunnel", told, near, [into[each] for each in lost])
    if unanswered := sorted(out.keys() - back_into.keys()):
        told = f"{len(unanswered)} of {ping.sent} came out of {there} and were not answered there"
        say("an answer", told, far, [out[each] for each in unanswered])
    if lost := sorted(back_into.keys() - back_out.keys()):
        where = _where(trace, ping, far, near, back_into)
        told = f"{len(lost)} replies of {ping.sent} lost between {there} and {here}: {where}"
        say("the reply out of the tunnel", told, far, [back_into[each] for each in lost])
    if not found and ping.received < ping.sent:
        told = f"{ping.sent - ping.received} of {ping.sent} replies came out of {here}, and {ping.host} took none"
        say("every reply taken", told)
    return found


def _seen(side: Side, ping: PingSaid, *, request: bool, leaving: bool) -> Steps:
    """The requests or the replies of a ping at one device, in one direction."""
    found: Steps = {}
    for capture in side.tun:
        goes = side.leaving(capture)
        for echo in echoes(capture, ping.tag):
            if echo.request is request and bool(goes[echo.row]) is leaving:
                found.setdefault(echo.sequence, int(capture.packets.frame[echo.row]))
    return found


def _where(trace: TunnelTrace, ping: PingSaid, source: Side, target: Side, entered: Steps) -> str:
    """Who lost what entered at ``source``, by the bytes of the transport on the two underlays meanwhile."""
    if not source.underlay or not target.underlay:
        return "no captures of the underlay tell where"
    needed = len(entered) * ping.size
    sent, got = (_payload(trace, side.underlay[0], source, ping) for side in (source, target))
    out, into = (f"{side.host}-{side.underlay[0].interface}" for side in (source, target))
    if sent < needed:
        return f"the daemon on {source.host} sent {sent:,} bytes on {out} for the {needed:,} that it should have taken"
    if got < needed:
        return f"the way between {out} and {into} lost them ({sent:,} bytes sent, {got:,} arrived)"
    return f"{got:,} bytes arrived on {into}, and the daemon on {target.host} did not hand them on"


def _payload(trace: TunnelTrace, capture: Capture, source: Side, ping: PingSaid) -> int:
    rows = trace.carrying(capture, source, ping.start_ns, ping.end_ns)
    return int(np.sum(capture.packets.payload_len[rows]))


def _evidence(ping: PingSaid, side: Side, frames: Iterable[int], expected: str, seen: str) -> Evidence:
    tap = side.tun[0].file if side.tun else side.host
    protocol = "icmpv6" if ":" in ping.target else "icmp"
    shown = f"{protocol} && frame contains {ping.tag.hex(':')}"
    return Evidence(ping.name, tap, tuple(frames)[:20], expected, seen, shown)
