"""Policy rules that lead a packet past the main table, which would take it the right way."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from hopscope.lab.settings.presence import Presence
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.ground import Probe
from hopscope.lastmile.view import Loss, View, holds

ERRNOS = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""What a socket is told by a rule or route of type unreachable, prohibit or blackhole."""
UNROUTED = ("unreachable", "No route to host", "Permission denied", "Invalid argument")

PROTOCOLS = {"ping": "icmp", "tcp": "tcp", "tls": "tcp"}


def misled(
    view: View, loss: Loss, host: str, target: str, device: str, told: tuple[str, ...] = ()
) -> Finding | None:  # fmt: skip
    """The first rule before that of the main table that takes the packets of this loss on their way to ``target``.

    ``told`` is evidence that they are led astray; without it that has to be shown: by the kernel's answer for packets
    from their own source, or that come in where they do, or by the mark that they were given.
    """
    for rule in sorted(view.before(host, "rules", []), key=lambda each: each["priority"]):
        plain = rule.get("src") == "all" and "dst" not in rule and "fwmark" not in rule and "iif" not in rule
        if rule.get("table") == "main" and plain:
            return None
        if rule.get("table") == "local":
            continue
        if told and (rule.get("src") != "all" or rule.get("iif") not in (None, "lo")):
            continue  # the kernel was asked for what leaves by itself, from no address
        source = _source(loss, target)
        if not told and target != (loss.probe.address if loss.way == "there" else loss.probe.source_address):
            continue
        shown = told or _shown(view, loss, host, rule, source, target)
        if shown and _takes(view, rule, loss, host, source, target):
            words = ["rule", "add", "pref", str(max(1, rule["priority"] - 1)), "to", target]
            words += ["iif", rule["iif"]] if rule.get("iif") else []
            words += ["lookup", "main"]
            mark = rf"to {target} " + (rf"iif {rule['iif']} " if rule.get("iif") else "") + "lookup main"
            setting = Presence(
                host, f"rule {' '.join(words[2:])}", ("ip", "rule", "show"), mark, ("ip", *words),
                ("ip", "rule", "del", *words[2:]),
            )  # fmt: skip
            return Finding(
                "policy-rule", host, "routes", f"rule {rule['priority']} leads {target} away from {device}",
                (*shown, *(() if told else (str(loss),))), settings=(setting,),
            )  # fmt: skip
    return None


def _source(loss: Loss, target: str) -> str:
    return loss.probe.source_address if target == loss.probe.address else loss.probe.address


def _takes(view: View, rule: dict[str, Any], loss: Loss, host: str, source: str, target: str) -> bool:
    if rule.get("iif") not in (None, "lo") and (loss.last is None or rule["iif"] != loss.last.device):
        return False
    if rule.get("ipproto") not in (None, PROTOCOLS[loss.probe.kind]):
        return False
    if rule.get("fwmark") and not _marked(view, loss, host, rule["fwmark"]):
        return False
    return holds(_network(rule, "dst"), target) and holds(_network(rule, "src"), source)


def _network(rule: dict[str, Any], key: str) -> str:
    what: str = rule.get(key, "all")
    return f"{what}/{rule[key + 'len']}" if key + "len" in rule else what


def _shown(view: View, loss: Loss, host: str, rule: dict[str, Any], source: str, target: str) -> tuple[str, ...]:
    if loss.inside != host:
        return ()
    if rule.get("fwmark") and (where := _marked(view, loss, host, rule["fwmark"])):
        return (f"{where} marks these packets with {rule['fwmark']}",)
    side = view.ground.side(host)
    asked: tuple[str, ...] = ("peer, as oneself", "far lan, as oneself")
    if rule.get("iif"):
        asked = ("forward in", "in") if side and rule["iif"] == side.device else ("forward out",)
    if rule.get("ipproto"):  # the kernel was asked for no protocol
        return tuple(f"{probe.name}: {what}" for probe, what in _refused(view, loss, host))[:1]
    for name in asked:
        error = (view.lookup(host, name) or {}).get("error", "")
        if any(each in error for each in UNROUTED):
            return (f"ip route get {target} from {source} on {host}: {error}",)
    return ()


def _refused(view: View, loss: Loss, host: str) -> Iterator[tuple[Probe, str]]:
    """Probes of this kind that their own host did not let out, for want of a route."""
    for probe in view.probes:
        if (probe.source, probe.kind, probe.layer) == (host, loss.probe.kind, loss.probe.layer):
            for error in view.errors(probe):
                if error.get("errno") in ERRNOS:
                    yield probe, error["what"]


def _marked(view: View, loss: Loss, host: str, mark: str) -> str:
    """The chain whose rule gave packets of this loss the mark, as the trace tells; empty where none did."""
    value = int(mark.partition("/")[0], 0)
    rules = {
        (rule["family"], rule["table"], rule["chain"], rule["handle"])
        for entry in view.ruleset(host)
        if (rule := entry.get("rule"))
        and any(
            each["mangle"].get("key") == {"meta": {"key": "mark"}} and each["mangle"].get("value") == value
            for each in rule.get("expr", ()) if "mangle" in each
        )
    }  # fmt: skip
    for event in view.traced(loss, host):
        key = (event["family"], event["table"], event["chain"], event["handle"])
        if key in rules:
            return f"chain {' '.join(key[:3])}"
    return ""
