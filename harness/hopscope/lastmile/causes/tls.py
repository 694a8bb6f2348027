"""The transport connects and no session comes about: a certificate that has ended, or a handshake that is refused."""

from __future__ import annotations

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("tls-expired",)


def find(view: View, loss: Loss) -> Finding | None:
    if loss.between is None or view.established():
        return None
    for probe in view.probes:
        ends = view.results.get(probe.name, {}).get("not_after") if probe.kind == "tls" else None
        clock = view.before(probe.source, "clock")
        if ends and clock and ends < clock:
            return Finding(
                "tls-expired", probe.target, "captures", "the transport's certificate has ended",
                (f"not after {ends:.0f}, and the clock of {probe.source} is at {clock:.0f}", str(loss)),
                remedy="renew the certificate",
            )  # fmt: skip
    return None
