"""A policy of IPsec blocks the packets, or wants them protected, by which nobody here is told of a drop."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("xfrm",)
_POLICY = re.compile(r"^src (\S+) dst (\S+).*\n((?:\s+.*\n?)+)", re.MULTILINE)


def find(view: View, loss: Loss) -> Finding | None:
    host = loss.inside
    if host is None:
        return None
    dropped = view.given_up(loss, host)
    if dropped and not any(each["reason"].startswith("XFRM") for each in dropped):
        return None
    there = (loss.probe.source_address, loss.probe.address)
    for source, target, body in _POLICY.findall(view.before(host, "xfrm", "") or ""):
        blocks, protects = "action block" in body, "tmpl" in body
        way = next((word for word in ("out", "in", "fwd") if f"dir {word}" in body), "")
        fits = any(_holds(source, src) and _holds(target, dst) for src, dst in (there, there[::-1]))
        if (
            fits
            and (blocks or protects)
            and (way == "out") == (loss.last is None or loss.turned or loss.last.way == "in")
        ):
            what = "blocks" if blocks else "wants protected"
            return Finding(
                "xfrm", host, "other filters", f"an IPsec policy ({way}) {what} {source} to {target}",
                (f"ip xfrm policy on {host}: {' '.join(body.split())[:120]}", str(loss)), "likely",
                remedy=f"ip xfrm policy delete dir {way} src {source} dst {target}, or give the tunnel one that allows",
            )  # fmt: skip
    return None


def _holds(network: str, address: str) -> bool:
    return ip_address(address) in ip_network(network, strict=False)
