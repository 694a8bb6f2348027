"""Kernel parameters: forwarding, echoes that are ignored, the reverse path. The kernel's own lookup is the witness."""

from __future__ import annotations

from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("forwarding", "echo-ignored", "reverse-path")
REASONS = {"forwarding": ("IP_INADDRERRORS",), "echo-ignored": (), "reverse-path": ("IP_RPFILTER",)}
RPFILTER = "Invalid cross-device link"


def find(view: View, loss: Loss) -> Finding | None:
    host = loss.inside
    if loss.between is not None:
        return _router(view, loss)
    if host is None or loss.last is None or loss.last.way != "in":
        return None
    return _forwarding(view, loss, host) or _reverse(view, loss, host) or _echo(view, loss, host)


def _forwarding(view: View, loss: Loss, host: str) -> Finding | None:
    if loss.probe.layer != "lan" or view.ground.side(host) is None or loss.next is None or loss.last is None:
        return None
    if loss.next.way != "out" or loss.next.device == loss.last.device:
        return None
    device = f"net/ipv4/conf/{loss.last.device}/forwarding"
    if view.sysctl(host, device) != "0":
        return None
    general = view.sysctl(host, "net/ipv4/ip_forward") == "0"
    key = "net.ipv4.ip_forward" if general else device
    return Finding(
        "forwarding", host, "kernel parameters", f"{key} is 0: what comes in on {loss.last.device} is not forwarded",
        (f"IpInAddrErrors moved by {view.counted(host, 'IpInAddrErrors')}", str(loss)),
        settings=(Sysctl(host, key, "1"),),
    )  # fmt: skip


def _router(view: View, loss: Loss) -> Finding | None:
    """Between the ends a host that is to forward does not, and so refuses what is not its own."""
    for point in view.ground.between:
        host = point.host
        if view.ground.side(host) is not None or view.counted(host, "IpInAddrErrors") <= 0:
            continue
        keys = ["net/ipv4/ip_forward", f"net/ipv4/conf/{point.device}/forwarding"]
        off = [key for key in keys if view.sysctl(host, key) == "0"]
        if off:
            key = off[0] if off[0] != keys[0] else "net.ipv4.ip_forward"
            return Finding(
                "forwarding", host, "kernel parameters", f"{key} is 0: {host} does not forward between the ends",
                (f"IpInAddrErrors of {host} moved by {view.counted(host, 'IpInAddrErrors')}", str(loss)),
                settings=(Sysctl(host, key, "1"),),
            )  # fmt: skip
    return None


def _reverse(view: View, loss: Loss, host: str) -> Finding | None:
    """rp_filter is max(all, device), and only the cause where the route back is the one that it should be."""
    assert loss.last is not None
    device = loss.last.device
    keys = [f"net/ipv4/conf/{each}/rp_filter" for each in ("all", device)]
    moved = view.counted(host, "TcpExtIPReversePathFilter")
    refused = [name for name in ("in", "forward in") if (view.lookup(host, name) or {}).get("error") == RPFILTER]
    side = view.ground.side(host)
    if side is None or (moved <= 0 and not refused) or max(int(view.sysctl(host, key) or 0) for key in keys) != 1:
        return None
    back = view.lookup(host, "peer" if loss.probe.layer == "tunnel" else "far lan") or {}
    if back.get("dev") != side.device:
        return None  # the route is the cause
    return Finding(
        "reverse-path", host, "kernel parameters", f"rp_filter is strict and drops what comes in on {device}",
        (f"TcpExtIPReversePathFilter moved by {moved}", *(f"lookup {each}: {RPFILTER}" for each in refused), str(loss)),
        settings=tuple(Sysctl(host, key, "2") for key in keys if view.sysctl(host, key) == "1"),
    )  # fmt: skip


def _echo(view: View, loss: Loss, host: str) -> Finding | None:
    if loss.probe.kind != "ping" or view.sysctl(host, "net/ipv4/icmp_echo_ignore_all") != "1" or loss.way != "back":
        return None
    return Finding(
        "echo-ignored", host, "kernel parameters", "net.ipv4.icmp_echo_ignore_all is 1: pings are not answered",
        (f"the echo request came in at {loss.last}, and no rule dropped it", str(loss)),
        settings=(Sysctl(host, "net.ipv4.icmp_echo_ignore_all", "0"),),
    )  # fmt: skip
