"""Counters of legacy iptables, from what iptables-legacy-save -c prints."""

from __future__ import annotations

from hopscope.lastmile.causes.legacy import counters

SAVED = """*filter
:INPUT ACCEPT [40:3000]
:FORWARD DROP [7:588]
:OUTPUT ACCEPT [0:0]
[5:420] -A INPUT -i tun0 -j DROP
[9:756] -A INPUT -i eth0 -j ACCEPT
[1:84] -A INPUT -p tcp -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


def test_what_drops_is_counted_and_nothing_else() -> None:
    assert counters(SAVED) == {
        ("FORWARD", ""): 7,
        ("INPUT", "-i tun0 -j DROP"): 5,
        ("INPUT", "-p tcp -j REJECT --reject-with icmp-port-unreachable"): 1,
    }
