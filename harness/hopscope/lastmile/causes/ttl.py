"""The packets' time to live runs out on the way."""

from __future__ import annotations

from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.causes.firewall import accept
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("ttl",)
LEAST = 8
EXPIRED = {"IP_INHDR", "NOT_SPECIFIED"}
"""What ip_forward gives as its reason."""


def find(view: View, loss: Loss) -> Finding | None:
    if loss.inside is None or loss.last is None or loss.next is None or loss.last.way != "in" or loss.next.way != "out":
        return None
    arrived = [
        record["ttl"] for record in view.records(loss.inside)
        if record.get("dev") == loss.last.device and record["way"] == "in"
        and (record.get("src"), record.get("dst")) == loss.ends and record["kind"] in ("echo", "reply", "tcp")
    ]  # fmt: skip
    said = {each["reason"] for each in view.given_up(loss, loss.inside)}
    ran_out = "IP_INHDR" in said or view.counted(loss.inside, "IpInHdrErrors") > 0
    if not arrived or (min(arrived) > 1 and not ran_out) or (said and not said & EXPIRED):
        return None
    source = loss.probe.source if loss.way == "there" else loss.probe.target
    told = (f"at {loss.last} their TTL is {min(arrived)}", str(loss))
    if int(view.sysctl(source, "net/ipv4/ip_default_ttl") or 64) < LEAST:
        value = view.sysctl(source, "net/ipv4/ip_default_ttl")
        return Finding(
            "ttl", source, "kernel parameters", f"net.ipv4.ip_default_ttl is {value}", told,
            settings=(Sysctl(source, "net.ipv4.ip_default_ttl", "64"),),
        )  # fmt: skip
    for host in dict.fromkeys((source, *(point.host for point in loss.probe.there))):
        rules = {
            (rule["family"], rule["table"], rule["chain"], rule["handle"])
            for entry in view.ruleset(host)
            if (rule := entry.get("rule")) and "ttl" in str(rule.get("expr")) and "mangle" in str(rule.get("expr"))
        }
        for event in view.reports.get(host, {}).get("trace", ()):
            key = (event["family"], event["table"], event["chain"], event["handle"])
            if key in rules:
                return Finding(
                    "ttl", host, "firewall", f"chain {' '.join(key[:3])} sets the TTL", told,
                    settings=(accept(view, host, event, *loss.ends),),
                )  # fmt: skip
    return Finding("ttl", source, "other filters", "the TTL runs out, and who sets it is not seen", told, "likely")
