"""Neighbours: a wrong hardware address, or one that nobody tells."""

from __future__ import annotations

from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Point
from hopscope.lastmile.view import Loss, View

CAUSES = ("neighbour",)


def find(view: View, loss: Loss) -> Finding | None:
    owners = {
        address: (host, view.link(host, device))
        for host in view.ground.hosts for address, device in view.addresses(host).items()
    }  # fmt: skip
    hosts = {point.host for point in (*loss.probe.there, *view.ground.between)}
    for host in view.ground.hosts:
        if host not in hosts:
            continue
        for entry in view.after(host, "neighbours", []):
            owner, link = owners.get(entry.get("dst", ""), ("", None))
            known, real = entry.get("lladdr"), (link or {}).get("address")
            state = "/".join(entry.get("state", ()))
            if known and real and known != real:
                argv = ("ip", "neigh", "del", entry["dst"], "dev", entry["dev"])
                back = (
                    "ip",
                    "neigh",
                    "replace",
                    entry["dst"],
                    "lladdr",
                    known,
                    "dev",
                    entry["dev"],
                    "nud",
                    state.lower(),
                )
                return Finding(
                    "neighbour", host, "other filters",
                    f"{entry['dst']} is kept with {known} ({state}), and {owner} has {real}",
                    (f"ip neigh on {host}: {entry['dst']} lladdr {known} {state}", str(loss)),
                    settings=(
                        Presence(host, f"neighbour {entry['dst']} {known}", ("ip", "neigh", "show", entry["dst"]),
                                 known, back, argv, NONE),
                    ),
                )  # fmt: skip
            if state in ("FAILED", "INCOMPLETE") and owner and _concerns(loss, view, host, entry["dev"]):
                return Finding(
                    "neighbour", host, "other filters", f"{owner} does not answer ARP for {entry['dst']}",
                    (f"ip neigh on {host}: {entry['dst']} {state}", str(loss)), "likely",
                    remedy=f"look at ARP on {owner}: arp_ignore, arptables, a netdev or bridge filter",
                )  # fmt: skip
    return None


def _concerns(loss: Loss, view: View, host: str, device: str) -> bool:
    points = (*loss.probe.there, *(view.ground.between if loss.between else ()))
    return any((point.host, point.device) == (host, device) for point in points if isinstance(point, Point))
