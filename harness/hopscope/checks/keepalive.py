"""A tunnel that claims to keep itself alive: while nothing is sent through it, something passes outside that often.

Cannot prove: that a peer would notice silence; only that there was none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopscope.checks.tunnel_health import covers
from hopscope.checks.verdict import Evidence, Verdict, failed, inconclusive, not_applicable, passed
from hopscope.wire.tunnel import TunnelTrace


@dataclass(frozen=True)
class Keepalive:
    name: str = "keepalive"

    def __call__(self, trace: TunnelTrace) -> Verdict:
        if trace.keepalive_s is None:
            return not_applicable(self.name, f"{trace.name} does not claim to keep itself alive (keepalive_s)")
        allowed = trace.keepalive_s * 1e9
        spans = [(start, end) for start, end in trace.idles if end - start >= allowed]
        if not spans:
            return inconclusive(self.name, f"no idle time as long as {trace.keepalive_s:g} s")
        longest, evidence = 0.0, []
        for side in trace.sides:
            for start, end in spans:
                if not covers(side.underlay, start, end):
                    return inconclusive(self.name, f"no sound capture of the underlay of {side.host} while it was idle")
                capture = side.underlay[0]
                rows = np.concatenate([trace.carrying(capture, each, start, end) for each in trace.sides])
                times = np.sort(np.concatenate([capture.packets.time[rows], [start, end]]))
                gap = float(np.diff(times).max())
                longest = max(longest, gap)
                if gap > allowed:
                    evidence.append(
                        Evidence(None, capture.file, (), f"something at least every {trace.keepalive_s:g} s",
                                 f"nothing on {side.host}-{capture.interface} for {gap / 1e9:.2f} s")
                    )  # fmt: skip
        metrics = {"longest_silence_s": longest / 1e9}
        if evidence:
            return failed(
                self.name, evidence[0].seen, judged=len(spans), failed=len(evidence), evidence=evidence, metrics=metrics
            )
        return passed(
            self.name, f"never silent for more than {longest / 1e9:.2f} s", judged=len(spans), metrics=metrics
        )


def keepalive() -> Keepalive:
    return Keepalive()
