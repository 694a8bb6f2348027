"""Addresses or ports of a probe were translated on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hopscope.lastmile.causes.firewall import accept, rule_text
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("nat",)
STATEMENTS = ("snat", "dnat", "masquerade", "redirect")


def find(view: View, loss: Loss) -> Finding | None:
    return _probe(view, loss) or _transport(view, loss)


def _probe(view: View, loss: Loss) -> Finding | None:
    src, dst = loss.probe.source_address, loss.probe.address
    for host in dict.fromkeys(point.host for point in loss.probe.there):
        for event in translated(view, host):
            if src in event["packet"] and _ours(event, src, loss) and not _undone(view, loss, host):
                return _finding(view, loss, host, event, "what goes through the tunnel", src, dst, "")
    return None


def _undone(view: View, loss: Loss, host: str) -> bool:
    """Behind this host the probe was seen with the addresses that it was sent with, and with no others."""
    hosts = [point.host for point in loss.probe.there]
    later = hosts[hosts.index(host) + hosts.count(host) :]
    ends = {
        (record["src"], record["dst"])
        for each in later for record in view.records(each, "echo" if loss.probe.kind == "ping" else "tcp")
        if loss.probe.kind != "ping" or record["probe"] == loss.probe.number
    }  # fmt: skip
    return ends == {(loss.probe.source_address, loss.probe.address)}


def _transport(view: View, loss: Loss) -> Finding | None:
    """Where the ends are not connected: what they send to the transport's port was translated."""
    if loss.between is None or view.established():
        return None
    for host in view.ground.hosts:
        for event in translated(view, host):
            kind, _, ends = event["packet"].partition(" ")
            source, _, target = ends.partition(">")
            if kind == "tcp" and target.endswith(f":{view.ground.port}"):
                src, dst = source.partition(":")[0], target.partition(":")[0]
                port = f"tcp dport {view.ground.port} "
                return _finding(view, loss, host, event, "the transport", src, dst, port)
    return None


def translated(view: View, host: str) -> Iterator[dict[str, Any]]:
    """Events of the trace in which a rule matched that translates."""
    rules = {
        (rule["family"], rule["table"], rule["chain"], rule["handle"])
        for entry in view.ruleset(host)
        if (rule := entry.get("rule")) and any(word in each for each in rule.get("expr", ()) for word in STATEMENTS)
    }
    for event in view.reports.get(host, {}).get("trace", ()):
        key = (event["family"], event["table"], event["chain"], event["handle"])
        if key in rules and event["kind"] == "rule":
            yield event


def _finding(
    view: View, loss: Loss, host: str, event: dict[str, Any], what: str, src: str, dst: str, port: str
) -> Finding:
    where = f"{event['family']} {event['table']} {event['chain']}"
    return Finding(
        "nat", host, "firewall", f"chain {where} translates {what}",
        (f"nft trace on {host}: {event['packet']} matched {rule_text(view, host, event)}", str(loss)),
        settings=(accept(view, host, event, src, dst, port),),
    )  # fmt: skip


def _ours(event: dict[str, Any], src: str, loss: Loss) -> bool:
    return (
        event["packet"].startswith("icmp" if loss.probe.kind == "ping" else "tcp")
        and f"{src}" in event["packet"].split(">")[0]
    )
