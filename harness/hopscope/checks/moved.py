"""Counters of the devices move by what was captured on them: what a daemon did not read, or the device dropped, shows.

``tx`` counts what the daemon has read from the device. A tap sees a packet before that, so a daemon that never reads
its device leaves ``tx`` where it was while packets go by.

Cannot prove: that what the daemon has read it also sent, which ``pings`` and ``transfer`` see; nor that the packets
were the test's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.tunnel_health import covers
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, passed
from hopscope.wire.tunnel import CountersSaid, Side, TunnelTrace

_LOSSES = ("tx_errors", "rx_errors", "tx_dropped", "rx_dropped")


@dataclass(frozen=True)
class Moved:
    name: str = "counters"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if not trace.counters:
            return inconclusive(self.name, "no counters were read")
        evidence: list[Evidence] = []
        total = 0
        for said in trace.counters:
            side = trace.side(said.host)
            if not covers(side.tun, said.start_ns, said.end_ns):
                return inconclusive(self.name, f"no sound capture of {side.device} on {side.host} to hold them against")
            into, out = _rows(side, said)
            total += into + out
            evidence += _differences(side, said, into, out)
        if evidence:
            return failed(
                self.name, evidence[0].seen, judged=len(trace.counters), failed=len(evidence), evidence=evidence
            )
        if not total:
            return inconclusive(self.name, "nothing went through the devices while their counters were watched")
        told = ", ".join(f"{said.host} tx +{said.moved['tx']} rx +{said.moved['rx']}" for said in trace.counters)
        return passed(self.name, f"as captured: {told}", judged=len(trace.counters))


def moved() -> Moved:
    return Moved()


def _rows(side: Side, said: CountersSaid) -> tuple[int, int]:
    """Packets that went into the tunnel and came out of it at one device, in the span."""
    into = out = 0
    for capture in side.tun:
        within, leaving = capture.between(said.start_ns, said.end_ns), side.leaving(capture)
        into += int(np.count_nonzero(within & leaving))
        out += int(np.count_nonzero(within & ~leaving))
    return into, out


def _differences(side: Side, said: CountersSaid, into: int, out: int) -> list[Evidence]:
    name, tap = f"{side.device} of {side.host}", side.tun[0].file
    found = []
    if said.moved["tx"] < into:
        seen = f"{into} packets went into {name} and its daemon read {said.moved['tx']} (tx +{said.moved['tx']})"
        found.append(Evidence(None, tap, (), f"tx +{into}", seen))
    elif said.moved["tx"] > into:
        found.append(
            Evidence(None, tap, (), f"tx +{into}", f"tx of {name} moved by {said.moved['tx']}, captured {into}")
        )
    if said.moved["rx"] != out:
        found.append(Evidence(None, tap, (), f"rx +{out}", f"rx of {name} moved by {said.moved['rx']}, captured {out}"))
    found += [
        Evidence(None, tap, (), f"{loss} +0", f"{loss} of {name} moved by {said.moved[loss]}")
        for loss in _LOSSES if said.moved.get(loss)
    ]  # fmt: skip
    return found
