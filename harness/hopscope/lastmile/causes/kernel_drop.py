"""The kernel says why it dropped the packets, and no other cause explains it: the reason is told as it is."""

from __future__ import annotations

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("kernel-drop",)
AREAS = {
    "NETFILTER": "firewall", "IP_RPFILTER": "kernel parameters", "IP_INADDRERRORS": "kernel parameters",
    "IP_INNOROUTES": "routes", "IP_OUTNOROUTES": "routes", "IP_LOCAL": "routes", "PKT_TOO_BIG": "MTU",
}  # fmt: skip
"""By the beginning of a reason."""


def find(view: View, loss: Loss) -> Finding | None:
    place = loss.next or loss.last
    hosts = dict.fromkeys([loss.inside or loss.probe.source, *([place.host] if place else []), *view.ground.hosts])
    for host in hosts:
        dropped = view.given_up(loss, host)
        if loss.between and not dropped:
            dropped = [each for each in view.reports.get(host, {}).get("drops", ()) if each["kind"] == "transport"]
        for each in dropped:
            area = next((area for start, area in AREAS.items() if each["reason"].startswith(start)), "other filters")
            what = "segments of the transport" if each["kind"] == "transport" else "packets"
            return Finding(
                "kernel-drop", host, area,
                f"the kernel drops {what} on {each['dev'] or 'no device'}: {each['reason']} in {each['function']}",
                (f"{each['n']} from {each['src']} to {each['dst']}", str(loss)), "likely",
            )  # fmt: skip
    return None
