"""A device on the way is down, or has no carrier."""

from __future__ import annotations

from hopscope.lab.settings.link_state import LinkState
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("link",)


def find(view: View, loss: Loss) -> Finding | None:
    points = {(p.host, p.device): None for p in (*loss.probe.there, *view.ground.between) if p.host in view.reports}
    dark = []
    for host, device in points:
        link = view.link(host, device)
        if link is None:
            return Finding("link", host, "other filters", f"{device} does not exist", (f"ip link has no {device}",))
        if "UP" not in link.get("flags", ()):
            return Finding(
                "link", host, "other filters", f"{device} is down",
                (f"flags of {device}: {','.join(link['flags'])}", str(loss)), settings=(LinkState(host, device),),
            )  # fmt: skip
        if "NO-CARRIER" in link["flags"]:
            dark.append((host, device))
    for host, device in dark:
        return Finding(
            "link", host, "other filters", f"{device} has no carrier", (f"flags of {device}: NO-CARRIER", str(loss)),
            "likely", remedy="look at what it is connected to",
        )  # fmt: skip
    return None
