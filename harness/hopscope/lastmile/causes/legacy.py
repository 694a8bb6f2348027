"""Legacy iptables, which nft does not trace: a rule or policy that drops, and whose counter moved while we probed."""

from __future__ import annotations

import re

from hopscope.lab.settings.presence import Presence
from hopscope.lastmile.causes.firewall import COMMENT
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("legacy",)
REASONS = {"legacy": ("NETFILTER_DROP",)}
_LINE = re.compile(r"^(?:\[(\d+):\d+\] -A (\S+) (.*-j (?:DROP|REJECT).*)|:(\S+) (DROP) \[(\d+):\d+\])$", re.MULTILINE)


def find(view: View, loss: Loss) -> Finding | None:
    host = loss.inside
    if host is None:
        return None
    for source, text in view.reports[host]["before"].items():
        if not source.startswith("legacy iptables"):
            continue
        table = source.split()[-1]
        old, new = counters(text), counters(view.after(host, source, ""))
        for (chain, rule), packets in new.items():
            if packets <= old.get((chain, rule), packets):
                continue
            src, dst = loss.ends
            words = ("-s", src, "-d", dst, "-m", "comment", "--comment", f"{COMMENT}: {src} {dst}", "-j", "ACCEPT")
            tool = ("iptables-legacy", "-w", "2", "-t", table)
            return Finding(
                "legacy", host, "firewall", f"legacy iptables {table} {chain} drops by {rule or 'its policy'}",
                (f"its counter moved by {packets - old[chain, rule]} packets", str(loss)), "likely",
                settings=(
                    Presence(
                        host, f"iptables-legacy {table} {chain} 1: accept {src} to {dst}", (*tool, "-S", chain),
                        re.escape(f"{COMMENT}: {src} {dst}"), (*tool, "-I", chain, "1", *words),
                        (*tool, "-D", chain, *words),
                    ),
                ),
            )  # fmt: skip
    return None


def counters(text: str) -> dict[tuple[str, str], int]:
    """Packets by chain and rule of what ``iptables-legacy-save -c`` prints; policies have an empty rule."""
    return {
        (chain or policy_chain, rule): int(packets or policy_packets)
        for packets, chain, rule, policy_chain, _, policy_packets in _LINE.findall(text)
    }
