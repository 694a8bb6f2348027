"""What no other cause explains: where it is lost, and that nothing seen here loses it."""

from __future__ import annotations

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("elsewhere", "unexplained")


def find(view: View, loss: Loss) -> Finding | None:
    if loss.between is not None:
        under = [
            view.locate(p) for p in view.probes if p.layer == "underlay" and not view.ok(p) and not p.unless_established
        ]
        where = next((str(each) for each in under if each.between), "")
        told = (
            str(loss),
            *([where] if where else []),
            *(f"{host}: not seen, {why}" for host, why in view.blind.items()),
        )
        return Finding(
            "elsewhere", loss.between[1], "captures",
            f"lost between {loss.between[0]} and {loss.between[1]}: the fault is not on a host that was seen", told,
            "possible", remedy="look at what is between them",
        )  # fmt: skip
    return Finding(
        "unexplained", loss.inside or loss.probe.source, "captures", "lost in this host, and no source says why",
        (str(loss), *(e["what"] for e in view.errors(loss.probe))), "possible", remedy="",
    )  # fmt: skip
