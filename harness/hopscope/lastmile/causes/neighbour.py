"""Neighbours: a wrong hardware address, or one that nobody tells."""

from __future__ import annotations

from typing import Any

from hopscope.lab.setting import Setting
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.causes.firewall import COMMENT
from hopscope.lastmile.finding import Finding, told_of
from hopscope.lastmile.ground import Point
from hopscope.lastmile.view import Loss, View, holds

CAUSES = ("neighbour",)


def find(view: View, loss: Loss) -> Finding | None:
    owners = {
        address: (host, view.link(host, device))
        for host in view.ground.hosts for address, device in view.addresses(host).items()
    }  # fmt: skip
    silent = _switched_off(view, loss)
    if silent is not None:
        return silent
    hosts = {point.host for point in (*loss.probe.there, *view.ground.between)}
    for host in view.ground.hosts:
        if host not in hosts:
            continue
        for entry in view.after(host, "neighbours", []):
            owner, link = owners.get(entry.get("dst", ""), ("", None))
            known, real = entry.get("lladdr"), (link or {}).get("address")
            state = "/".join(entry.get("state", ()))
            if known and real and known != real:
                which = (entry["dst"], "dev", entry["dev"])
                argv = ("ip", "neigh", "del", *which)
                back = ("ip", "neigh", "replace", *which, "lladdr", known, "nud", state.lower())
                return Finding(
                    "neighbour", host, "other filters",
                    f"{entry['dst']} is kept with {known} ({state}), and {owner} has {real}",
                    (f"ip neigh on {host}: {entry['dst']} lladdr {known} {state}", str(loss)),
                    settings=(
                        Presence(host, f"neighbour {entry['dst']} {known}", ("ip", "neigh", "show", entry["dst"]),
                                 known, back, argv, NONE),
                    ),
                )  # fmt: skip
            routed = any(route[0] == host and holds(route[1], entry.get("dst", "")) for route in view.ground.routes)
            if state in ("FAILED", "INCOMPLETE") and owner and not routed and _concerns(loss, view, host, entry["dev"]):
                where, why, settings = _silent(view, host, owner, entry)
                return Finding(
                    "neighbour", where, "other filters", f"ARP for {entry['dst']} of {owner} is not answered on {host}",
                    (f"ip neigh on {host}: {entry['dst']} {state}", *why, str(loss)), "likely", settings,
                    remedy=f"look at ARP on {where}: arp_ignore, arptables, a netdev or bridge filter",
                )  # fmt: skip
            if state in ("FAILED", "INCOMPLETE") and not owner and not routed and loss.last is None:
                asked = view.lookup(host, "far lan") or {}
                if asked.get("gateway") == entry.get("dst"):
                    return Finding(
                        "neighbour", host, "other filters", f"nobody answers ARP for the gateway {entry['dst']}",
                        (f"ip neigh on {host}: {entry['dst']} {state}", str(loss)), "likely",
                        remedy="mend the route, or bring up the gateway",
                    )  # fmt: skip
    return None


def _switched_off(view: View, loss: Loss) -> Finding | None:
    """A device of a link where addresses have to be asked for, which neither asks nor answers."""
    tunnels = {(side.host, side.device) for side in view.ground.sides}
    points = (*loss.probe.there, *(view.ground.between if loss.between else ()))
    for host, device in dict.fromkeys((point.host, point.device) for point in points):
        if (host, device) in tunnels or "NOARP" not in (view.link(host, device) or {}).get("flags", ()):
            continue
        argv = ("ip", "link", "set", "dev", device, "arp")
        show = ("ip", "link", "show", "dev", device)
        setting = Presence(host, f"NOARP of {device}", show, "NOARP", (*argv, "off"), (*argv, "on"), NONE)
        return Finding(
            "neighbour", host, "other filters", f"ARP is switched off on {device}",
            (f"flags of {device} on {host}: NOARP", str(loss)), settings=(setting,),
        )  # fmt: skip
    return None


def _silent(
    view: View, asker: str, owner: str, entry: dict[str, Any]
) -> tuple[str, tuple[str, ...], tuple[Setting, ...]]:  # fmt: skip
    """The host that is silent or deaf about ARP, why, and what would mend it."""
    device = view.addresses(owner).get(entry["dst"], "")
    keys = [f"net/ipv4/conf/{each}/arp_ignore" for each in ("all", device)]
    ignored = [key for key in keys if int(view.sysctl(owner, key) or 0) > 1]
    if ignored:
        told = tuple(f"{key} is {view.sysctl(owner, key)} on {owner}" for key in ignored)
        return owner, told, tuple(Sysctl(owner, key, "0") for key in ignored)
    own = next((each for each, dev in view.addresses(asker).items() if dev == entry["dev"]), "")
    for host, other in ((owner, own), (asker, entry["dst"])):
        dropped = [each for each in view.reports[host].get("drops", ()) if each["kind"] == "arp"]
        chains = [each["chain"] for each in view.ruleset(host) if each.get("chain", {}).get("family") == "arp"]
        if not dropped and ("drop reasons" in view.sources(host) or not chains):
            continue
        why = tuple(dict.fromkeys(told_of(host, each) for each in dropped))
        return host, why, tuple(
            NftRule(host, "arp", chain["table"], chain["name"], f"arp {word} ip {other} accept", f"{COMMENT}: {other}")
            for chain in chains if (word := {"input": "saddr", "output": "daddr"}.get(chain.get("hook", "")))
        )  # fmt: skip
    return owner, (), ()


def _concerns(loss: Loss, view: View, host: str, device: str) -> bool:
    points = (*loss.probe.there, *(view.ground.between if loss.between else ()))
    return any((point.host, point.device) == (host, device) for point in points if isinstance(point, Point))
