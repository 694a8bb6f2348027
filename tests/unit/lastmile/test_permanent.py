"""What a repair kept, as files."""

from __future__ import annotations

import pytest

from hopscope.lab.settings.address import Address
from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.nft_rule import NftRule
from hopscope.lab.settings.presence import Presence
from hopscope.lab.settings.route import Route
from hopscope.lab.settings.sysctl import Sysctl
from hopscope.lastmile.permanent import documents

RULE = NftRule("right", "inet", "fw", "in", 'iifname "tun0" ip saddr 10.9.0.1 ip daddr 10.9.0.2 accept', "ours")


def test_rules_are_inserted_with_their_comment_and_found_by_it_to_be_undone() -> None:
    files = documents([RULE])
    assert f'insert rule inet fw in {RULE.rule} comment "ours"' in files["nftables-hopscope.nft"]
    assert "nft delete rule inet fw in handle $handle" in files["undo.sh"]


def test_a_parameter_of_a_device_that_is_absent_is_no_error() -> None:
    lines = documents([Sysctl("right", "net/ipv4/conf/tun0/rp_filter", "2")])["sysctl-hopscope.conf"].splitlines()
    assert lines[-1] == "-net/ipv4/conf/tun0/rp_filter = 2"


def test_the_devices_routes_and_mtu_come_with_the_device() -> None:
    files = documents([Mtu("left", "tun0", 1300), Route("left", "10.20.2.0/24", port="tun0")])
    assert "MTUBytes=1300" in files["networkd-tun0.network"]
    assert "Destination=10.20.2.0/24" in files["networkd-tun0.network"]
    assert "mtu: 1300" in files["netplan-tun0.yaml"]
    assert "up ip route replace 10.20.2.0/24 dev tun0" in files["ifupdown-tun0"]


def test_nothing_kept_is_nothing_written_but_an_undo_that_does_nothing() -> None:
    assert list(documents([])) == ["undo.sh"]


PERSISTENT = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
[3:180] -A INPUT -i lo -j ACCEPT
-A INPUT -i tun0 -j DROP
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
"""
INPUT = NftRule(
    "right", "ip", "filter", "INPUT", 'iifname "tun0" ip saddr 10.9.0.1 ip daddr 10.9.0.2 accept', "our own"
)
LINE = '-A INPUT -i tun0 -s 10.9.0.1 -d 10.9.0.2 -m comment --comment "our own" -j ACCEPT'


def test_where_iptables_persistent_rules_a_rule_goes_to_the_head_of_its_chain_there() -> None:
    files = documents([INPUT], PERSISTENT)
    lines = files["rules.v4"].splitlines()
    assert lines[3:5] == [LINE, "[3:180] -A INPUT -i lo -j ACCEPT"]
    assert [line for line in lines if line != LINE] == PERSISTENT.splitlines()
    assert "nftables-hopscope.nft" not in files


@pytest.mark.parametrize(
    "persistent", [None, PERSISTENT.replace(":INPUT", ":OUTPUT"), PERSISTENT.replace("*filter", "*raw")]
)
def test_a_rule_of_a_chain_that_it_does_not_rule_stays_with_nft(persistent: str | None) -> None:
    files = documents([INPUT], persistent)
    assert "rules.v4" not in files
    assert "insert rule ip filter INPUT" in files["nftables-hopscope.nft"]


def test_ports_and_both_devices_are_translated_and_a_second_time_adds_nothing() -> None:
    rule = 'iifname "tun0" oifname "eth1" ip saddr 10.1.0.1 ip daddr 10.2.0.1 tcp dport 7000 accept'
    setting = NftRule("right", "ip", "filter", "FORWARD", rule, "it")
    text = documents([setting, setting], PERSISTENT)["rules.v4"]
    words = "-i tun0 -o eth1 -s 10.1.0.1 -d 10.2.0.1 -p tcp --dport 7000"
    assert text.splitlines().count(f'-A FORWARD {words} -m comment --comment "it" -j ACCEPT') == 1


def test_a_legacy_rule_goes_there_too() -> None:
    words = ("-s", "10.9.0.1", "-m", "comment", "--comment", "our own", "-j", "ACCEPT")
    tool = ("iptables-legacy", "-w", "2", "-t", "filter")
    setting = Presence("right", "it", (*tool, "-S", "INPUT"), "own", (*tool, "-I", "INPUT", "1", *words), ())
    text = documents([setting], PERSISTENT)["rules.v4"]
    assert '-A INPUT -s 10.9.0.1 -m comment --comment "our own" -j ACCEPT' in text.splitlines()


def test_what_goes_with_a_device_is_done_whenever_it_appears() -> None:
    settings = [
        Mtu("left", "tun0", 1300), Route("left", "10.20.2.0/24", port="tun0"),
        Address("left", "10.9.0.1", "tun0", "10.9.0.2"),
        Sysctl("left", "net/ipv4/conf/tun0/rp_filter", "2"), Sysctl("left", "net.ipv4.ip_forward", "1"),
        Presence("left", "rule", ("ip", "rule", "show"), "to x lookup main", ("ip", "rule", "add", "to", "x"), ()),
    ]  # fmt: skip
    files = documents(settings)
    assert files["device-tun0.sh"].splitlines()[2:] == [
        "ip link set dev tun0 mtu 1300", "ip route replace 10.20.2.0/24 dev tun0",
        "ip addr replace 10.9.0.1 peer 10.9.0.2 dev tun0",
        "[ ! -e /proc/sys/net/ipv4/conf/tun0/rp_filter ] || echo 2 > /proc/sys/net/ipv4/conf/tun0/rp_filter",
    ]  # fmt: skip
    assert 'KERNEL=="tun0", RUN+="/bin/sh /usr/local/lib/hopscope/device-tun0.sh"' in files["udev-tun0.rules"]
    assert files["host.sh"].splitlines()[2:] == ["ip rule show | grep -Eq 'to x lookup main' || ip rule add to x"]
    assert "-net/ipv4/ip_forward = 1" in files["sysctl-hopscope.conf"]
