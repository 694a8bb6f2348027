"""What a tunnel has to do, on two hosts: each of the three is asked what every tunnel can be asked."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.tunnel]

THREE = ("openvpn", "socat", "ssh-w")


@pytest.mark.parametrize("tunnel", THREE, indirect=True)
class TestEachOfThree:
    def test_pings_both_ways_at_both_sizes(self, tunnel):
        reports = tunnel.ping(both_directions=True, sizes=("small", "mtu"))
        assert [(each.host, each.size, each.received, each.errors) for each in reports] == [
            ("left", 84, 5, 0), ("left", 1500, 5, 0), ("right", 84, 5, 0), ("right", 1500, 5, 0),
        ]  # fmt: skip

    def test_transfers_both_ways_with_the_same_hashes(self, tunnel):
        assert tunnel.transfer(bytes=1_000_000).ok

    def test_counters_move_by_what_was_sent(self, tunnel):
        moved = tunnel.counters(count=10)
        assert {host: (each["tx"], each["rx"]) for host, each in moved.items()} == {"left": (20, 20), "right": (20, 20)}

    def test_the_transport_is_established(self, tunnel):
        assert {host: len(lines) for host, lines in tunnel.established().items()} == {"left": 1, "right": 1}

    def test_the_mtu_is_what_the_device_says(self, tunnel):
        assert [each.bytes for each in tunnel.mtu()] == [1500, 1500]

    def test_it_keeps_itself_alive_while_idle(self, tunnel):
        tunnel.idle(2.5)

    def test_it_carries_again_after_the_link_was_cut(self, tunnel):
        recovery = tunnel.cut(seconds=0.5)
        assert recovery.away_s >= 0.5

    def test_a_restarted_daemon_makes_its_device_anew(self, tunnel):
        before = {host: tunnel.running.device(host).index for host in ("left", "right")}
        tunnel.restart("right")
        after = {host: tunnel.running.device(host).index for host in ("left", "right")}
        assert after["right"] != before["right"]
        assert (after["left"] != before["left"]) is not tunnel.reconnects


def test_a_new_transport_is_made_when_it_was_ended_on_the_way(tunnel):
    before = tunnel.running.established()
    tunnel.reconnect()
    assert tunnel.running.established() != before


@pytest.mark.lab_topology("tunnel-routed.yaml")
class TestBetweenLans:
    def test_hosts_behind_the_ends_reach_each_other(self, tunnel):
        reports = tunnel.ping(lans=True)
        assert {each.host for each in reports} == {"left-lan", "right-lan"}

    def test_bytes_between_them_arrive(self, tunnel):
        assert tunnel.transfer(bytes=300_000, lans=True).ok

    def test_their_routes_come_back_with_the_device(self, tunnel):
        tunnel.restart("left")
        tunnel.ping(lans=True, sizes=("small",))
