"""Routes and rules: where the kernel says that a packet goes, against where it has to go."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from hopscope.lab.settings.presence import Presence
from hopscope.lab.settings.route import Route
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Point
from hopscope.lastmile.view import Loss, View

CAUSES = ("underlay-route", "policy-rule", "route")
MAIN = ("main", "local", "default")
DEAD_ENDS = ("blackhole", "unreachable", "prohibit", "throw")


def find(view: View, loss: Loss) -> Finding | None:
    return _underlay(view, loss) or _inner(view, loss)


def _inner(view: View, loss: Loss) -> Finding | None:
    """On each host that the packets cross: the way to the peer, to the far LAN, to the near one."""
    hosts = dict.fromkeys([*([loss.inside] if loss.inside else []), *(point.host for point in loss.probe.there)])
    for host in hosts:
        side = view.ground.side(host)
        wanted: list[tuple[str, str, str, str | None, str]] = []
        if side is not None:
            other = view.ground.other(host)
            if loss.probe.layer == "tunnel":
                wanted.append(("peer", other.inner, side.device, None, other.inner))
            elif side.lan and other.lan:
                wanted.append(("far lan", other.lan.address, side.device, None, other.lan.network))
                wanted.append(("near lan", side.lan.address, side.lan.facing, None, side.lan.network))
        else:
            for each in view.ground.sides:
                far = view.ground.other(each.host).lan
                if each.lan and far and each.lan.host == host:
                    routes = [r for r in view.ground.routes if r[0] == host and r[1] == far.network]
                    wanted += [("far lan", far.address, each.lan.device, r[2], far.network) for r in routes]
        for name, target, device, via, network in wanted:
            found = _wrong(view, loss, host, name, target, device, via, network)
            if found:
                return found
    return None


def _wrong(
    view: View, loss: Loss, host: str, name: str, target: str, device: str, via: str | None, network: str,
    cause: str = "route",
) -> Finding | None:  # fmt: skip
    answer = view.lookup(host, name)
    if answer is None or (answer.get("dev") == device and not answer.get("error") and answer.get("type") != "local"):
        return None
    said = answer.get("error") or f"dev {answer.get('dev')} via {answer.get('gateway') or 'nobody'}"
    told = (f"ip route get {target} on {host}: {said}; it should be dev {device}", str(loss))
    offending = matching(view, host, target)
    rule = _rule(view, host, target) if offending is None or offending.get("dev") == device else None
    if rule is not None:
        words = ("rule", "add", "pref", str(max(1, rule["priority"] - 1)), "to", target, "lookup", "main")
        return Finding(
            "policy-rule", host, "routes", f"rule {rule['priority']} leads {target} away from {device}", told,
            settings=(
                Presence(host, f"rule {' '.join(words[2:])}", ("ip", "rule", "show"),
                         rf"to {target} lookup main", ("ip", *words), ("ip", "rule", "del", *words[2:])),
            ),
        )  # fmt: skip
    at = network
    if offending is not None and _length(offending["dst"]) > _length(network):
        at = offending["dst"]
    if offending is None:
        what = "no route"
    elif offending.get("type") in DEAD_ENDS:
        what = f"a route of type {offending['type']} ({offending['dst']})"
    else:
        what = f"the wrong route ({offending['dst']})"
    return Finding(
        cause, host, "routes", f"{what} for {target}", told, settings=(Route(host, at, via=via, port=device),)
    )


def matching(view: View, host: str, target: str) -> dict[str, Any] | None:
    """The longest route for an address in the main table."""
    found = [
        route for route in view.before(host, "routes", [])
        if route.get("table", "main") == "main" and _holds(route.get("dst", ""), target)
    ]  # fmt: skip
    return max(found, key=lambda route: _length(route["dst"]), default=None)


def _rule(view: View, host: str, target: str) -> dict[str, Any] | None:
    """The first rule before that of the main table which could take this address."""
    for rule in sorted(view.before(host, "rules", []), key=lambda each: each["priority"]):
        if rule.get("table") == "main" and rule.get("src") == "all" and "dst" not in rule:
            return None
        if rule.get("table") == "local" or rule.get("iif") not in (None, "lo"):
            continue
        dst = rule.get("dst", "all")
        length = rule.get("dstlen")
        if dst == "all" or _holds(f"{dst}/{length}" if length is not None else dst, target):
            found: dict[str, Any] = rule
            return found
    return None


def _holds(network: str, target: str) -> bool:
    if network == "default":
        return True
    try:
        return ip_address(target) in ip_network(network, strict=False)
    except ValueError:
        return False


def _length(network: str) -> int:
    return 0 if network == "default" else ip_network(network, strict=False).prefixlen


def _underlay(view: View, loss: Loss) -> Finding | None:
    """The transport's own way, on the ends and on the routers between."""
    if loss.between is None and not (loss.last and loss.next is None):
        return None
    points = view.ground.between
    for host in dict.fromkeys(point.host for point in points):
        outs: dict[bool, Point] = {}
        for point in points:
            if point.host == host:
                outs[point.way == "out"] = point  # out: toward the second side, in: toward the first
        for toward_second, point in outs.items():
            target = view.ground.sides[1 if toward_second else 0]
            if target.host == host:
                continue
            name = "peer outer" if view.ground.side(host) else f"to {target.host}"
            routes = [
                r for r in view.ground.routes if r[0] == host and _holds(r[1], target.outer)
            ]  # fmt: skip
            network, via = (routes[0][1], routes[0][2]) if routes else (f"{target.outer}/32", None)
            found = _wrong(view, loss, host, name, target.outer, point.device, via, network, "underlay-route")
            if found:
                return found
    return None
