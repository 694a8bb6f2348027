"""What is before and behind netfilter's IP hooks: tc filters, queues, netdev chains, XDP.

A tap sees what comes in before tc and netdev ingress and what goes out behind egress and the queue; nft's trace sees
what is between. So a packet that was tapped and never traced was lost on the way in, and one that was traced and never
tapped on the way out. XDP comes before the tap: the device counts what the tap does not see.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import Presence
from hopscope.lastmile.causes.firewall import COMMENT
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Point
from hopscope.lastmile.view import Loss, View

CAUSES = ("tc", "netdev", "qdisc", "xdp")
SKF_NET_OFF = 0xFFF00000
REASONS = {
    "tc": ("TC_INGRESS", "TC_EGRESS"), "netdev": ("NETFILTER_DROP",), "xdp": ("XDP",),
    "qdisc": ("QDISC_DROP", "QDISC_OVERLIMIT", "QDISC_CONGESTED", "QDISC_MAXFLOWS", "QDISC_FLOOD", "QDISC_BURST"),
}  # fmt: skip


def find(view: View, loss: Loss) -> Finding | None:
    for host, device, way in _places(view, loss):
        found = _xdp(view, loss, host, device) if way == "ingress" else None
        found = found or _tc(view, loss, host, device, way)
        found = found or _netdev(view, loss, host, device, way)
        found = found or (_queue(view, loss, host, device) if way == "egress" else None)
        if found:
            return found
    return None


def _places(view: View, loss: Loss) -> list[tuple[str, str, str]]:
    places = []
    if loss.inside and loss.last and loss.last.way == "in":
        places.append((loss.last.host, loss.last.device, "ingress"))
    if loss.next and loss.next.way == "out" and loss.inside:
        places.append((loss.next.host, loss.next.device, "egress"))
    if loss.next and loss.next.way == "in":
        places.append((loss.next.host, loss.next.device, "ingress"))
    if loss.between:
        points = view.ground.between
        places += [(p.host, p.device, way) for p in points for way in ("egress", "ingress")]
        places += [(p.host, p.device, "egress") for p in (loss.last,) if p]
    return [each for each in dict.fromkeys(places) if each[0] in view.reports]


def _tc(view: View, loss: Loss, host: str, device: str, way: str) -> Finding | None:
    """By the counter of its action, or for a program (which counts nothing) by the place where the packet was lost."""
    source = f"filters {device} {way}"
    listed = [each for each in view.before(host, source, []) if "options" in each and not _passes(each)]
    new = {_name(each): _dropped(each) for each in view.after(host, source, view.before(host, source, []))}
    for entry in listed:
        name = _name(entry)
        moved = (new.get(name) or 0) - (_dropped(entry) or 0)
        program = name.endswith(" bpf") and not _reached(view, loss, host, way)
        if moved <= 0 and not program:
            continue
        told = f"its action dropped {moved} packets" if moved else "a program, which counts nothing"
        ends = _ends(view, loss, host, device, way)
        setting = _pass(host, device, way, ends, _free(view, host, source, entry["pref"], ends))
        return Finding(
            "tc", host, "other filters", f"a tc filter drops on {device} {way} ({name})", (told, str(loss)),
            "proven" if moved else "likely", (setting,) if setting else (),
            remedy="" if setting else "no place is free before it: give it a larger pref, that others may come first",
        )  # fmt: skip
    return None


def _pass(host: str, device: str, way: str, ends: tuple[str, str], pref: int | None) -> Presence | None:
    if pref is None:
        return None
    src, dst = ends
    argv = ("dev", device, way, "pref", str(pref))
    return Presence(
        host, f"tc filter {device} {way}: pass {src} to {dst}", ("tc", "filter", "show", "dev", device, way),
        f"21 0 3 {int(ip_address(src))},.*21 0 1 {int(ip_address(dst))},",
        ("tc", "filter", "add", *argv, "protocol", "ip", "bpf", "da", "bytecode", passing(src, dst)),
        ("tc", "filter", "del", *argv),
    )  # fmt: skip


def _free(view: View, host: str, source: str, pref: int, ends: tuple[str, str]) -> int | None:
    """A preference before ``pref`` that nobody has, another one for each pair of addresses: a filter is taken away by
    its preference, with all that share it."""
    pairs = {(probe.source_address, probe.address) for probe in view.probes}
    order = sorted(pairs | {(dst, src) for src, dst in pairs})
    taken = {each.get("pref") for each in view.before(host, source, [])}
    free = [each for each in range(pref - 1, 0, -1) if each not in taken][: len(order)]
    at = order.index(ends) if ends in order else len(free)
    return free[at] if at < len(free) else None


def _passes(entry: dict[str, Any]) -> bool:
    """It is one of ours, as ``passing`` writes them."""
    rows = (entry["options"].get("bytecode") or {}).get("insns", [])
    return [row.get("code") for row in rows] == [32, 21, 32, 21, 6, 6] and rows[0].get("k") == SKF_NET_OFF + 12


def passing(src: str, dst: str) -> str:
    """Classic BPF for ``tc filter … bpf da``: TC_ACT_OK for packets from and to these, else on to the next filter."""
    return (
        f"6,32 0 0 {SKF_NET_OFF + 12},21 0 3 {int(ip_address(src))},32 0 0 {SKF_NET_OFF + 16},"
        f"21 0 1 {int(ip_address(dst))},6 0 0 0,6 0 0 4294967295"
    )


def _ends(view: View, loss: Loss, host: str, device: str, way: str) -> tuple[str, str]:
    """Addresses of what passes there: the transport's on the underlay, else those of the probe."""
    side = view.ground.side(host)
    if side is None or device != side.underlay:
        return loss.ends
    other = view.ground.other(host)
    return (side.outer, other.outer) if way == "egress" else (other.outer, side.outer)


def _name(entry: dict[str, Any]) -> str:
    return f"pref {entry.get('pref')} {entry.get('kind')}"


def _dropped(entry: dict[str, Any]) -> int | None:
    """Packets that an action with verdict drop has had; None where there is none."""
    found = None
    for action in entry.get("options", {}).get("actions", ()):
        if action.get("control_action", {}).get("type") == "drop" or action.get("kind") == "drop":
            found = (found or 0) + int(action.get("stats", {}).get("packets", 0))
    return found


def _netdev(view: View, loss: Loss, host: str, device: str, way: str) -> Finding | None:
    if _reached(view, loss, host, way):
        return None
    for entry in view.ruleset(host):
        chain = entry.get("chain")
        if not chain or chain.get("family") != "netdev" or chain.get("hook") != way:
            continue
        devices = chain.get("dev", device)  # nft before 1.0.7 does not tell
        if device not in (devices if isinstance(devices, list) else [devices]):
            continue
        src, dst = loss.ends
        if loss.between and loss.next and loss.next.device != device:
            continue
        return Finding(
            "netdev", host, "firewall", f"chain netdev {chain['table']} {chain['name']} ({way} of {device}) drops",
            (f"seen at {loss.last}, and no IP hook of {host} saw it" if way == "ingress"
             else f"IP hooks of {host} let it go, and no tap saw it leave", str(loss)), "likely",
            settings=(
                NftRule(host, "netdev", chain["table"], chain["name"], f"ip saddr {src} ip daddr {dst} accept",
                        f"{COMMENT}: {src} {dst}"),
            ),
        )  # fmt: skip
    return None


def _queue(view: View, loss: Loss, host: str, device: str) -> Finding | None:
    old = {each.get("handle"): each for each in view.before(host, "qdiscs", []) if each.get("dev") == device}
    for each in view.after(host, "qdiscs", []):
        moved = int(each.get("drops", 0)) - int(old.get(each.get("handle"), {}).get("drops", 0))
        if each.get("dev") == device and moved > 0 and each.get("kind") not in ("clsact", "ingress"):
            return Finding(
                "qdisc", host, "other filters", f"the queue of {device} ({each.get('kind')}) drops",
                (f"{moved} packets dropped by {each.get('kind')} while we probed: {each.get('options')}", str(loss)),
                remedy=f"give it a longer queue, or take it away: tc qdisc del dev {device} root",
            )  # fmt: skip
    return None


def _xdp(view: View, loss: Loss, host: str, device: str) -> Finding | None:
    program = (view.link(host, device) or {}).get("xdp")
    if not program or view.moved(host, device, "rx") <= 0 or not _unseen(view, loss, host, device):
        return None
    return Finding(
        "xdp", host, "other filters", f"an XDP program on {device} drops",
        (f"xdp: {program}", f"rx of {device} moved by {view.moved(host, device, 'rx')}, its tap saw less", str(loss)),
        "likely", remedy=f"ip link set dev {device} xdp off (whoever attached it knows how to bring it back)",
    )  # fmt: skip


def _unseen(view: View, loss: Loss, host: str, device: str) -> bool:
    """The tap of a device should have seen this probe come in next; of a device of the underlay, probes of that."""
    point = Point(host, device, "in")
    if loss.next == point:
        return True
    under = [p for p in view.probes if p.layer == "underlay" and not view.ok(p) and not p.unless_established]
    return loss.between is not None and any(view.locate(p).next == point for p in under)


def _reached(view: View, loss: Loss, host: str, way: str) -> bool:
    """An IP hook of the host saw the packet: it cannot have been lost before (ingress)."""
    if way == "egress":
        return False
    src, dst = loss.ends
    word = "icmp" if loss.probe.kind == "ping" else "tcp"
    for event in view.reports[host].get("trace", ()):
        kind, _, rest = event["packet"].partition(" ")
        source, _, target = rest.split(" ")[0].partition(">")
        if kind == word and (source.split(":")[0], target.split(":")[0]) == (src, dst):
            return True
    return "nft trace" in view.reports[host]["missing"]
