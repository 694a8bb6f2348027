"""What a repair kept, as files."""

from __future__ import annotations

from hopscope.lab.settings.mtu import Mtu
from hopscope.lab.settings.nft_rule import NftRule
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
