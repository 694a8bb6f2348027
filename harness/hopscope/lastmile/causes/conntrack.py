"""Connection tracking refuses what is new: its table is full, or two connections clash in it."""

from __future__ import annotations

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("conntrack-full",)
REASONS = {"conntrack-full": ("NETFILTER_DROP",)}
REFUSED = ("drop", "early_drop", "insert_failed")


def find(view: View, loss: Loss) -> Finding | None:
    host = loss.inside
    if host is None:
        return None
    old, new = view.before(host, "conntrack", {}), view.after(host, "conntrack", {})
    moved = {name: new.get(name, 0) - old.get(name, 0) for name in REFUSED if new.get(name, 0) > old.get(name, 0)}
    if not moved:
        return None
    count, most = (view.sysctl(host, f"net/netfilter/nf_conntrack_{each}") for each in ("count", "max"))
    told = ", ".join(f"{name} moved by {n}" for name, n in moved.items())
    return Finding(
        "conntrack-full", host, "other filters", f"connection tracking refuses what is new: it has {count} of {most}",
        (f"/proc/net/stat/nf_conntrack: {told}", str(loss)), "likely",
        remedy="raise net.netfilter.nf_conntrack_max on the machine, or do not track what needs no tracking",
    )  # fmt: skip
