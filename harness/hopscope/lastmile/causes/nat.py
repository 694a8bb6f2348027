"""Addresses or ports of a probe were translated on the way."""

from __future__ import annotations

from typing import Any

from hopscope.lastmile.causes.firewall import accept, rule_text
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("nat",)
STATEMENTS = ("snat", "dnat", "masquerade", "redirect")


def find(view: View, loss: Loss) -> Finding | None:
    src, dst = loss.probe.source_address, loss.probe.address
    for host in dict.fromkeys(point.host for point in loss.probe.there):
        rules = {
            (rule["family"], rule["table"], rule["chain"], rule["handle"]): rule
            for entry in view.ruleset(host)
            if (rule := entry.get("rule")) and any(word in each for each in rule.get("expr", ()) for word in STATEMENTS)
        }
        for event in view.reports.get(host, {}).get("trace", ()):
            key = (event["family"], event["table"], event["chain"], event["handle"])
            if key in rules and event["kind"] == "rule" and src in event["packet"] and _ours(event, src, loss):
                text = rule_text(view, host, event)
                return Finding(
                    "nat", host, "firewall", f"chain {' '.join(key[:3])} translates what goes through the tunnel",
                    (f"nft trace on {host}: {event['packet']} matched {text}", str(loss)),
                    settings=(accept(view, host, event, src, dst),),
                )  # fmt: skip
    return None


def _ours(event: dict[str, Any], src: str, loss: Loss) -> bool:
    return (
        event["packet"].startswith("icmp" if loss.probe.kind == "ping" else "tcp")
        and f"{src}" in event["packet"].split(">")[0]
    )
