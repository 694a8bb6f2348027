"""Addresses: one that an end should have and has not, and one that a host has and another should."""

from __future__ import annotations

from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Side
from hopscope.lastmile.view import Loss, View

CAUSES = ("address", "address-conflict")


def find(view: View, loss: Loss) -> Finding | None:
    owners = {}
    for side in view.ground.sides:
        owners[side.inner] = owners[side.outer] = side.host
        if side.lan:
            owners[side.lan.address] = side.lan.host
    involved = {point.host for point in loss.probe.there}
    for host in view.ground.hosts:
        for address, device in view.addresses(host).items():
            owner = owners.get(address, host)
            if owner != host and (host in involved or owner in involved):
                setting = _address(host, address, device, wanted=NONE)
                return Finding(
                    "address-conflict", host, "routes", f"{address} of {owner} is an address of {host} too ({device})",
                    (f"ip addr on {host}: {address} dev {device}", str(loss)), settings=(setting,),
                )  # fmt: skip
    for side in view.ground.sides:
        if side.inner not in view.addresses(side.host):
            have = ", ".join(view.addresses(side.host, side.device)) or "none"
            peer = view.ground.other(side.host).inner
            return Finding(
                "address", side.host, "routes", f"{side.device} lacks its address {side.inner}",
                (f"addresses of {side.device}: {have}", str(loss)),
                settings=(
                    _address(side.host, side.inner, side.device, peer=peer),
                    *(_address(side.host, each, side.device, peer=peer, wanted=NONE) for each in _instead(view, side)),
                ),
            )  # fmt: skip
    return None


def _instead(view: View, side: Side) -> list[str]:
    """Other addresses of the device for the same peer: the first of them is what packets would leave with."""
    link = view.link(side.host, side.device, late=False) or {}
    peer = view.ground.other(side.host).inner
    return [each["local"] for each in link.get("addr_info", ()) if each.get("address") == peer]


def _address(host: str, address: str, device: str, *, peer: str = "", wanted: str = "there") -> Presence:
    words = (address, *(("peer", peer) if peer else ()), "dev", device) if peer else (f"{address}/32", "dev", device)
    mark = rf"inet {address.replace('.', chr(92) + '.')}[/ ]"
    return Presence(
        host, f"address {address} on {device}", ("ip", "-4", "addr", "show", "dev", device), mark,
        ("ip", "addr", "add", *words), ("ip", "addr", "del", *words), wanted,
    )  # fmt: skip
