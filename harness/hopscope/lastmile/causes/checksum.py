"""The receiver refuses the packets for a checksum that is wrong: somebody on the way has changed them."""

from __future__ import annotations

from typing import Any

from hopscope.lastmile.causes.firewall import accept
from hopscope.lastmile.finding import Finding, told_of
from hopscope.lastmile.ground import Side
from hopscope.lastmile.view import Loss, View

CAUSES = ("checksum", "daemon-corrupts")
COUNTERS = ("IcmpInCsumErrors", "TcpInCsumErrors", "IpExtInCsumErrors")


def find(view: View, loss: Loss) -> Finding | None:
    host = loss.inside
    if host is None or loss.last is None or loss.last.way != "in":
        return None
    dropped = [each for each in view.given_up(loss, host) if each["reason"].endswith("_CSUM")]
    moved = {name: view.counted(host, name) for name in COUNTERS if view.counted(host, name) > 0}
    kind = "Icmp" if loss.probe.kind == "ping" else "Tcp"
    if not dropped and not any(name.startswith((kind, "IpExt")) for name in moved):
        return None
    told = (
        *(told_of(host, each) for each in dropped),
        *(f"{name} moved by {n}" for name, n in moved.items()),
        str(loss),
    )
    for where in dict.fromkeys(point.host for point in (*loss.probe.there, *loss.probe.back)):
        event = _rewritten(view, loss, where)
        if event is not None:
            chain = f"{event['family']} {event['table']} {event['chain']}"
            return Finding(
                "checksum", where, "firewall", f"chain {chain} overwrites what a checksum is of, or the checksum", told,
                settings=(accept(view, where, event, *loss.ends),),
            )  # fmt: skip
    ends = [side for side in view.ground.sides if _corrupted(view, loss, side)]
    if ends:
        return Finding(
            "daemon-corrupts", view.ground.other(ends[0].host).host, "captures",
            "packets come out of the tunnel changed", told, "likely",
            remedy="one of the two daemons damages what it carries: mend or replace it",
        )  # fmt: skip
    return Finding(
        "checksum", host, "captures", "packets arrive changed", told, "likely", remedy="look at who is before"
    )


def _corrupted(view: View, loss: Loss, side: Side) -> bool:
    """This end refused what came out of the tunnel: this probe, or others where this one went further."""
    if loss.inside == side.host:
        return loss.last is not None and loss.last.device == side.device
    return any(
        each["reason"].endswith("_CSUM") and each["dev"] == side.device
        for each in view.reports.get(side.host, {}).get("drops", ())
    ) or any(view.counted(side.host, name) > 0 for name in COUNTERS)


def _rewritten(view: View, loss: Loss, host: str) -> dict[str, Any] | None:
    """The event of the trace in which a rule changed a payload or header of these packets."""
    rules = {
        (rule["family"], rule["table"], rule["chain"], rule["handle"])
        for entry in view.ruleset(host)
        if (rule := entry.get("rule"))
        and any("payload" in str(each["mangle"].get("key")) for each in rule.get("expr", ()) if "mangle" in each)
    }
    for event in view.traced(loss, host):
        if (event["family"], event["table"], event["chain"], event["handle"]) in rules:
            return event
    return None
