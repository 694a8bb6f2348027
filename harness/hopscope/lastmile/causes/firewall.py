"""A rule or policy of nftables (or iptables-nft) dropped a probe, or the transport: nft's own trace proves it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("firewall", "netdev")
REASONS = {"firewall": ("NETFILTER_DROP",), "netdev": ("NETFILTER_DROP",)}
COMMENT = "hopscope last mile"


def find(view: View, loss: Loss) -> Finding | None:
    hosts = dict.fromkeys([*([loss.inside] if loss.inside else []), *(point.host for point in loss.probe.there)])
    for host in hosts:
        for drop in view.drops(loss, host):
            source, _, target = drop["packet"].split(" ")[1].partition(">")
            return _finding(view, loss, host, drop, source.split(":")[0], target.split(":")[0], "")
    if loss.between is None and loss.last is not None:
        return None
    port = view.ground.port
    for host in view.ground.hosts:
        for drop in view.reports.get(host, {}).get("trace", ()):
            kind, _, rest = drop["packet"].partition(" ")
            source, _, target = rest.partition(">")
            if (
                drop["verdict"] == "drop"
                and kind == "tcp"
                and str(port) in (source[-len(str(port)) :], target.split(":")[-1])
            ):
                way = "dport" if target.endswith(f":{port}") else "sport"
                ends = source.split(":")[0], target.split(":")[0]
                finding = _finding(view, loss, host, drop, *ends, f"tcp {way} {port} ")
                if not drop["iif"] or not drop["oif"]:
                    return finding
                # In a router's chain the answers would be dropped as well, and a transport that backs off shows none.
                back = accept(
                    view, host, {**drop, "iif": drop["oif"], "oif": drop["iif"]}, *ends[::-1],
                    f"tcp {'sport' if way == 'dport' else 'dport'} {port} ",
                )  # fmt: skip
                return replace(finding, settings=(*finding.settings, back))
    return None


def _finding(view: View, loss: Loss, host: str, drop: dict[str, Any], src: str, dst: str, port: str) -> Finding:
    where = f"{drop['family']} {drop['table']} {drop['chain']}"
    what = "its policy" if drop["kind"] == "policy" else f"rule {rule_text(view, host, drop)}"
    transport = "the transport: " if port else ""
    return Finding(
        "netdev" if drop["family"] == "netdev" else "firewall", host, "firewall",
        f"{transport}chain {where} drops by {what}",
        (f"nft trace on {host}: {drop['packet']} {where} drop ({_which(drop)})", str(loss)),
        settings=(accept(view, host, drop, src, dst, port),),
    )  # fmt: skip


def _which(drop: dict[str, Any]) -> str:
    return f"{drop['kind']} {drop['handle']}" if drop["kind"] == "rule" else drop["kind"]


def accept(view: View, host: str, event: dict[str, Any], src: str, dst: str, port: str = "") -> NftRule:
    """Accept at the head of the chain of a trace event: that interface and those addresses, and nothing else."""
    names = {link["ifindex"]: link["ifname"] for link in view.before(host, "links", []) if "ifindex" in link}
    ends = "".join(
        f'{word} "{names[event[key]]}" '
        for word, key in (("iifname", "iif"), ("oifname", "oif"))
        if event[key] in names
    )
    if event["family"] == "netdev":  # its chain is of one device already
        ends = ""
    rule = f"{ends}ip saddr {src} ip daddr {dst} {port}accept"
    return NftRule(
        host,
        event["family"],
        event["table"],
        event["chain"],
        rule,
        f"{COMMENT}: {src} {dst}{port and ' '}{port}".strip(),
    )


def rule_text(view: View, host: str, event: dict[str, Any]) -> str:
    for entry in view.ruleset(host):
        rule = entry.get("rule", {})
        if (rule.get("family"), rule.get("table"), rule.get("chain"), rule.get("handle")) == (
            event["family"], event["table"], event["chain"], event["handle"],
        ):  # fmt: skip
            return json.dumps(rule.get("expr"))[:160]
    return f"handle {event['handle']}"
