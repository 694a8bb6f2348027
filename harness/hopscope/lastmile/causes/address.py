"""Addresses: one that an end should have and has not, and one that a host has and another should."""

from __future__ import annotations

from hopscope.lab.setting import Setting
from hopscope.lab.settings.address import Address
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Side
from hopscope.lastmile.view import Loss, View, matching

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
                return Finding(
                    "address-conflict", host, "routes", f"{address} of {owner} is an address of {host} too ({device})",
                    (f"ip addr on {host}: {address} dev {device}", str(loss)),
                    settings=(_without(view, host, address, device),),
                )  # fmt: skip
    for side in view.ground.sides:
        if side.inner not in view.addresses(side.host):
            have = ", ".join(view.addresses(side.host, side.device)) or "none"
            return Finding(
                "address", side.host, "routes", f"{side.device} lacks its address {side.inner}",
                (f"addresses of {side.device}: {have}", str(loss)), settings=_lacking(view, side),
            )  # fmt: skip
    return None


def _lacking(view: View, side: Side) -> tuple[Setting, ...]:
    """The address. Where another one is there for the same peer, that stays and is no longer what packets leave with:
    to take it away would take away the device's routes, and addresses that were added after it."""
    peer = view.ground.other(side.host).inner
    route = matching(view.before(side.host, "routes", []), peer)
    source = (route or {}).get("prefsrc")
    if route is None or route.get("dst") != peer or route.get("dev") != side.device or not source:
        return (Address(side.host, side.inner, side.device, peer),)
    words = ("ip", "route", "replace", peer, "dev", side.device, "proto", route["protocol"], "scope", route["scope"])
    leaving = Presence(
        side.host, f"source address of the route to {peer}", ("ip", "-4", "route", "show", "exact", peer),
        rf"src {side.inner}\b", (*words, "src", side.inner), (*words, "src", source),
    )  # fmt: skip
    return Address(side.host, side.inner, side.device), leaving


def _without(view: View, host: str, address: str, device: str) -> Address:
    infos = (view.link(host, device, late=False) or {}).get("addr_info", ())
    told = next(each for each in infos if each.get("local") == address)
    return Address(host, address, device, told.get("address", ""), NONE, told.get("prefixlen", 32))
