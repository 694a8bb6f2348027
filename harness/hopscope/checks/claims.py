"""Does the wire show what the system under test says that it did?

"sent" in a rewriter's log is a claim: its author's test read it as proof while the kernel had carried the connection.
What a box may say, in JSON lines, and what must then be in the captures:

syn_answered  ``flow`` (``10.1.0.10:40000>10.1.2.10:8080``), ``isn``: the client's kernel took the SYN-ACK of this ISN.
sent          ``side`` (client, server), ``flow`` (from the frame's source to its destination), ``seq``, ``flags``
              (tcpdump's letters, optional): this segment left the box's port on that side.
counters      ``sent_client``, ``sent_server``, ``syn_answered``: at least so many frames, and SYN-ACKs, left the port.
              The last ones before the box was started again count; ``ready`` begins a new run.

Cannot prove: that a box says all that it does: silence is judged by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import numpy as np

from hopscope.checks.capture_health import complaints
from hopscope.checks.evidence import count, milliseconds, of_rows
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.checks.view import Bools, Ints
from hopscope.wire.packets import ACK, FIN, PSH, RST, SYN
from hopscope.wire.taps import BOXES, Position
from hopscope.wire.trace import Trace

LETTERS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK}
COUNTED = ("sent_client", "sent_server", "syn_answered")


@dataclass
class _Tally:
    judged: int = 0
    denied: int = 0
    unseen: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)

    def deny(self, kind: str, evidence: Evidence, *, proven: bool, number: int = 1) -> None:
        """A claim that the captures do not bear out. From a capture that may have missed it nothing follows."""
        if not proven:
            self.unseen += number
            return
        self.denied += number
        self.kinds[kind] = self.kinds.get(kind, 0) + number
        self.evidence.append(evidence)


@dataclass(frozen=True)
class Claims:
    name: str = "claims"

    def __call__(self, trace: Trace) -> Verdict:
        # The shard that holds the counters of all need not have a flow of its own.
        if not trace.whole.any() and not any(tap.elsewhere.packets for tap in trace.taps.values()):
            return inconclusive(self.name, "no flow lies wholly within the captures")
        told = [event for event in trace.sut_events if _claims_something(event)]
        if not told:
            return not_applicable(self.name, "no box says what it did")
        tally = _Tally()
        _answers(trace, [event for event in told if event["event"] == "syn_answered"], tally)
        _segments(trace, [event for event in told if event["event"] == "sent"], tally)
        _counters(trace, tally)
        if tally.denied:
            kinds = ", ".join(f"{kind} ({number:,})" for kind, number in tally.kinds.items())
            return failed(
                self.name, f"the wire denies {count(tally.denied, 'claim')} of {tally.judged:,}: {kinds}",
                judged=tally.judged, failed=tally.denied, evidence=tally.evidence, metrics=tally.kinds,
            )  # fmt: skip
        if tally.unseen:
            return inconclusive(
                self.name, f"{count(tally.unseen, 'claim')} that a capture may have missed", judged=tally.judged
            )
        if not tally.judged:
            return inconclusive(self.name, "no capture shows the ports that the claims are about")
        return passed(self.name, f"{count(tally.judged, 'claim')}, all on the wire", judged=tally.judged)


def claims() -> Claims:
    return Claims()


def _claims_something(event: dict[str, Any]) -> bool:
    kind = event.get("event")
    return kind in ("syn_answered", "sent") or (kind == "counters" and any(name in event for name in COUNTED))


def port_of(trace: Trace, event: dict[str, Any], side: str) -> Position | None:
    """The tap of a box's port on the client's or the server's side; None where it was not captured."""
    host = str(event.get("host") or event.get("role") or "")
    for box, sides in BOXES.items():
        position = sides[0 if side == "client" else 1]
        if position in trace.taps and host in (box, trace.taps[position].host):
            return position
    return None


def _answers(trace: Trace, events: list[dict[str, Any]], tally: _Tally) -> None:
    """Who answered the client: the box, as it says, or somebody else."""
    if not events or min(trace.taps) > Position.CLIENTNIC_LAN:
        return
    flows: dict[tuple[object, object], list[int]] = {}
    for flow in trace.flows:
        flows.setdefault((flow.client, flow.server), []).append(flow.index)
    here = min(trace.taps)
    for event in events:
        ends = ends_of(event.get("flow"))
        mine = [index for index in flows.get(ends, ()) if trace.whole[index]] if ends else []
        if not mine:
            continue
        tally.judged += 1
        claimed = int(event.get("isn", -1))
        if any(int(trace.answered_isn[index]) == claimed for index in mine):
            continue
        index = mine[-1]
        rows = trace.flows[index].synack_rows(here)
        tally.deny(
            "flow said to be answered that was not",
            of_rows(
                trace, here, rows[:2], flow=index, expected=f"the client answered with ISN {claimed}, as the box says",
                seen=_took(trace, here, rows, index, claimed),
            ),
            proven=not complaints(trace, here),
        )  # fmt: skip


def _took(trace: Trace, here: Position, rows: Ints, index: int, claimed: int) -> str:
    answered = int(trace.answered_isn[index])
    if answered < 0:
        return "no SYN-ACK at all"
    whose = "the server's own SYN-ACK" if answered == int(trace.real_isn[index]) else "a SYN-ACK"
    packets = trace.taps[here].packets
    late = rows[packets.seq[rows] == claimed]
    if not len(late):
        return f"it took {whose}, ISN {answered}; the box's never came"
    after = milliseconds(int(packets.time[late[0]]) - int(packets.time[rows[0]]))
    return f"it took {whose}, ISN {answered}; the box's came {after} later"


def _segments(trace: Trace, events: list[dict[str, Any]], tally: _Tally) -> None:
    """Segments that a box says it has sent, one by one."""
    for event in events:
        ends = ends_of(event.get("flow"))
        position = port_of(trace, event, str(event.get("side")))
        if ends is None or position is None or "seq" not in event:
            continue
        tally.judged += 1
        packets = trace.taps[position].packets
        (source, sport), (target, dport) = ends
        found = np.flatnonzero((packets.sport == sport) & (packets.dport == dport) & (packets.seq == int(event["seq"])))
        flags = str(event.get("flags", ""))
        wanted = sum(LETTERS.get(letter, 0) for letter in set(flags))
        found = found[(packets.flags[found] & wanted) == wanted]
        if any(packets.src(row) == source and packets.dst(row) == target for row in found.tolist()):
            continue
        tap = trace.taps[position]
        words = f"{source}:{sport} > {target}:{dport} {flags} seq {event['seq']}"
        tally.deny(
            "segment said to be sent that never left",
            Evidence(None, tap.file, (), f"{words}, as the box says", f"no such frame on {tap.name}"),
            proven=not complaints(trace, position),
        )


def _counters(trace: Trace, tally: _Tally) -> None:
    """Frames that a box has counted as sent, against those that left its port: at least as many."""
    for host, totals in totals_of(trace.sut_events).items():
        for name, claimed in totals.items():
            side = "server" if name == "sent_server" else "client"
            position = port_of(trace, {"host": host}, side)
            if position is None or trace.taps[position].mac is None:
                continue
            tally.judged += 1
            answers, elsewhere = name == "syn_answered", trace.taps[position].elsewhere
            seen = int(np.count_nonzero(left_port(trace, position, answers=answers)))
            seen += elsewhere.answers if answers else elsewhere.sent
            if seen >= claimed:
                continue
            tap, what = trace.taps[position], "SYN-ACKs" if name == "syn_answered" else "frames"
            tally.deny(
                f"{what} counted as sent that never left",
                Evidence(None, tap.file, (), f"{claimed:,} {what} out of {tap.name}, as {host} says", f"{seen:,}"),
                proven=not complaints(trace, position),
            )


def totals_of(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """By host, the counters at the end of each of its runs, summed."""
    last: dict[str, dict[str, int]] = {}
    totals: dict[str, dict[str, int]] = {}
    for host, event in _by_host(events):
        if event.get("event") == "ready":
            _add(totals, host, last.pop(host, {}))
        elif event.get("event") == "counters":
            last[host] = {name: int(event[name]) for name in COUNTED if name in event}
    for host, counts in last.items():
        _add(totals, host, counts)
    return totals


def _by_host(events: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for event in events:
        host = event.get("host") or event.get("role")
        if host:
            yield str(host), event


def _add(totals: dict[str, dict[str, int]], host: str, counts: dict[str, int]) -> None:
    mine = totals.setdefault(host, {})
    for name, number in counts.items():
        mine[name] = mine.get(name, 0) + number


def left_port(trace: Trace, position: Position, *, answers: bool) -> Bools:
    tap = trace.taps[position]
    out = tap.packets.src_mac == np.uint64(tap.mac or 0)
    return np.asarray(out & ((tap.packets.flags & (SYN | ACK)) == SYN | ACK) & tap.packets.is_tcp if answers else out)


def ends_of(text: object) -> tuple[tuple[Any, int], tuple[Any, int]] | None:
    """``a:p>b:p`` as two (address, port); None for what is no such text."""
    source, arrow, target = str(text).partition(">")
    try:
        ends = [(ip_address(host.strip().strip("[]")), int(port)) for host, _, port in
                (end.rpartition(":") for end in (source, target))]  # fmt: skip
    except ValueError:
        return None
    return (ends[0], ends[1]) if arrow else None
