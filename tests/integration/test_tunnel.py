"""What a tunnel has to do. The default one (or that of ``--lab-sut``) is asked everything, the others what is cheap."""

from __future__ import annotations

import pytest

from hopscope.errors import ProductFault

pytestmark = [pytest.mark.integration, pytest.mark.tunnel, pytest.mark.lab_requires("tun")]


class TestTheTunnel:
    def test_tunnel_ping(self, tunnel):
        reports = tunnel.ping(both_directions=True, sizes=("small", "mtu"))
        assert [(each.host, each.size, each.received, each.errors) for each in reports] == [
            ("left", 84, 5, 0), ("left", 1500, 5, 0), ("right", 84, 5, 0), ("right", 1500, 5, 0),
        ]  # fmt: skip

    def test_bytes_arrive_both_ways_with_the_same_hashes(self, tunnel):
        report = tunnel.transfer(bytes=1_000_000)
        assert [way.received for way in report.ways] == [1_000_000, 1_000_000]

    def test_counters_move_by_what_was_sent(self, tunnel):
        moved = tunnel.counters(count=10)
        assert {host: (each["tx"], each["rx"]) for host, each in moved.items()} == {"left": (20, 20), "right": (20, 20)}

    def test_the_transport_is_established(self, tunnel):
        assert {host: len(lines) for host, lines in tunnel.established().items()} == {"left": 1, "right": 1}

    def test_packets_as_large_as_the_device_says_get_through(self, tunnel):
        assert [each.bytes for each in tunnel.mtu()] == [1500, 1500]

    def test_it_keeps_itself_alive_while_idle(self, tunnel):
        tunnel.idle(2.2)
        assert [str(each.outcome) for each in tunnel.verdicts if each.check == "keepalive"] == ["PASS"]

    def test_it_carries_again_after_the_link_was_cut(self, tunnel):
        assert tunnel.cut(seconds=0.5).away_s >= 0.5

    def test_a_new_transport_is_made_when_it_was_ended_on_the_way(self, tunnel):
        if not tunnel.reconnects:
            pytest.skip(f"{tunnel.name} does not claim to reconnect")
        before = tunnel.running.established()
        tunnel.reconnect()
        assert tunnel.running.established() != before

    def test_a_restarted_daemon_makes_its_device_anew(self, tunnel):
        before = {host: tunnel.running.device(host).index for host in ("left", "right")}
        tunnel.restart("right")
        after = {host: tunnel.running.device(host).index for host in ("left", "right")}
        assert after["right"] != before["right"]
        assert (after["left"] != before["left"]) is not tunnel.reconnects

    def test_its_taps_have_readable_names(self, tunnel, capture):
        tunnel.ping(sizes=("small",), count=1)
        assert {file.name for file in capture.look().glob("*.pcap")} == {
            "left-eth0.pcap", "left-tun0.pcap", "right-eth0.pcap", "right-tun0.pcap",
        }  # fmt: skip


@pytest.mark.parametrize("tunnel", ["socat", "ssh-w"], indirect=True)
class TestTheOthers:
    def test_they_carry(self, tunnel):
        assert all(each.received == each.sent > 0 for each in tunnel.ping())
        assert tunnel.transfer(bytes=300_000).ok
        tunnel.counters(count=5)
        assert all(each.ok for each in tunnel.mtu())

    def test_they_come_back(self, tunnel):
        assert tunnel.cut(seconds=0.5).away_s >= 0.5
        assert tunnel.restart("left").again_s > 0


@pytest.mark.lab_topology("tunnel-routed.yaml")
class TestBetweenLans:
    def test_hosts_behind_the_ends_reach_each_other(self, tunnel):
        reports = tunnel.ping(lans=True)
        assert {each.host for each in reports} == {"left-lan", "right-lan"}
        tunnel.transfer(bytes=300_000, lans=True)

    def test_their_routes_come_back_with_the_device(self, tunnel):
        tunnel.restart("left")
        assert all(each.received == each.sent > 0 for each in tunnel.ping(lans=True, sizes=("small",)))

    def test_another_way_between_them_is_no_tunnel(self, tunnel):
        """A route past the tunnel: ping(8) is content, the captures are not."""
        for host, lan, via in (("left", "10.20.2.0/24", "10.8.1.254"), ("right", "10.20.1.0/24", "10.8.2.254")):
            tunnel.host(host).run(["ip", "route", "replace", lan, "via", via])
        try:
            with pytest.raises(ProductFault, match="not seen on tun0 of left: they went another way"):
                tunnel.ping(lans=True, sizes=("small",), count=3)
        finally:
            for host, lan in (("left", "10.20.2.0/24"), ("right", "10.20.1.0/24")):
                tunnel.host(host).run(["ip", "route", "replace", lan, "dev", "tun0"])
