"""Routes: where the kernel says that a packet goes, against where it has to go. Policy rules are in ``rules``."""

from __future__ import annotations

from hopscope.lab.setting import Setting
from hopscope.lab.settings.presence import NONE, Presence
from hopscope.lab.settings.route import Route
from hopscope.lastmile.causes.rules import misled
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Point
from hopscope.lastmile.view import Loss, View, holds, length, matching

CAUSES = ("underlay-route", "policy-rule", "route")
DEAD_ENDS = ("blackhole", "unreachable", "prohibit", "throw")


def find(view: View, loss: Loss) -> Finding | None:
    return _underlay(view, loss) or _inner(view, loss) or _attributes(view, loss)


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
    if answer is None:
        return None
    right = answer.get("dev") == device and not answer.get("error") and answer.get("type") != "local"
    if right and (via is None or answer.get("gateway") == via):
        return misled(view, loss, host, target, device)
    said = answer.get("error") or f"dev {answer.get('dev')} via {answer.get('gateway') or 'nobody'}"
    should = f"dev {device}" + (f" via {via}" if via else "")
    told = (f"ip route get {target} on {host}: {said}; it should be {should}", str(loss))
    offending = matching(view.before(host, "routes", []), target)
    if offending is None or offending.get("dev") == device:
        found = misled(view, loss, host, target, device, told=told)
        if found:
            return found
    stolen = _stolen(view, host, target) if answer.get("type") == "local" else None
    if stolen is not None:
        return Finding(cause, host, "routes", f"a local route takes {target}", told, settings=(stolen,))
    at = network
    if offending is not None and length(offending["dst"]) > length(network):
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


def _stolen(view: View, host: str, target: str) -> Setting | None:
    """A route of the local table for an address that the host has not."""
    for route in view.before(host, "routes", []):
        if route.get("type") == "local" and route.get("dst") == target and target not in view.addresses(host):
            words = (
                "local",
                target,
                "dev",
                route["dev"],
                "table",
                "local",
                "proto",
                str(route.get("protocol", "boot")),
            )
            show = ("ip", "-4", "route", "show", "table", "local")
            mark = rf"^local {target.replace('.', chr(92) + '.')} dev"
            add, remove = ("ip", "route", "add", *words), ("ip", "route", "del", *words)
            return Presence(host, f"local route {target}", show, mark, add, remove, NONE)
    return None


def _attributes(view: View, loss: Loss) -> Finding | None:
    """The way is right, and the route says something about it that is not: a source address, an MTU."""
    for host, target in ((loss.probe.source, loss.probe.address), (loss.probe.target, loss.probe.source_address)):
        side = view.ground.side(host)
        route = matching(view.before(host, "routes", []), target)
        if side is None or route is None or loss.probe.layer != "tunnel" or route.get("dev") != side.device:
            continue
        source, small = route.get("prefsrc"), view.held_small(loss.probe)
        if source and source != side.inner:
            what = f"the route to {target} has the source address {source}"
        elif small and host == loss.probe.source:
            what = f"the route to {target} lets out no more than {small} bytes"
        else:
            continue
        setting = Route(host, route["dst"], via=route.get("gateway"), port=side.device, plain=True)
        return Finding("route", host, "routes", what, (f"ip route on {host}: {route}", str(loss)), settings=(setting,))
    return None


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
                r for r in view.ground.routes if r[0] == host and holds(r[1], target.outer)
            ]  # fmt: skip
            network, via = (routes[0][1], routes[0][2]) if routes else (f"{target.outer}/32", None)
            found = _wrong(view, loss, host, name, target.outer, point.device, via, network, "underlay-route")
            if found:
                return found
    return None
