"""Tunnels with one fault each, which must be called broken by that fault's own name, with evidence and whose it is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hopscope.checks.tunnel import standing
from hopscope.errors import EnvironmentFault, ProductFault
from hopscope.lab.settings.nft_table import Chain, NftTable
from hopscope.lab.wait import wait_until
from hopscope.plugin import tunnels
from hopscope.plugin.tunnels import Tunnel
from hopscope.wire.tunnel import TunnelTrace
from support import broken_tunnels

pytestmark = [
    pytest.mark.integration,
    pytest.mark.tunnel,
    pytest.mark.lab_requires("tun"),
    pytest.mark.lab_topology("tunnel.yaml"),
]

ONE_WAY = {"both_directions": False, "count": 3}


@pytest.fixture
def sut() -> str:
    """Nothing is on the path but what the test puts there."""
    return "kernel"


@pytest.fixture
def broken(chain, capture, test_directory):
    """``with broken(name) as tunnel``; its window is not judged beyond what the test asks."""

    @contextmanager
    def up(name: str) -> Iterator[Tunnel]:
        try:
            with tunnels.up(chain, broken_tunnels.SUTS[name], test_directory) as tunnel:
                tunnel.begin(capture)
                try:
                    yield tunnel
                finally:
                    tunnel.finish()
        finally:
            capture.abandon()

    return up


@contextmanager
def stopped(tunnel: Tunnel, host: str) -> Iterator[None]:
    process = tunnel.running.boxes.process(host)
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


def caught(call, *words: str) -> ProductFault:
    with pytest.raises(ProductFault) as fault:
        call()
    for word in words:
        assert word in str(fault.value), str(fault.value)
    return fault.value


def test_the_same_tunnel_without_a_fault_passes_all_of_it(broken):
    with broken("disguised") as tunnel:
        tunnel.ping()
        assert tunnel.transfer(bytes=200_000).ok
        tunnel.counters(count=3)
        tunnel.established()
        assert [each.bytes for each in tunnel.mtu()] == [1500, 1500]
        verdicts = standing(TunnelTrace.load(tunnel.window.look()))
        assert {verdict.check: str(verdict.outcome) for verdict in verdicts} == {
            "capture_health": "PASS", "secrecy": "PASS", "transport": "PASS",
        }  # fmt: skip


def test_a_daemon_that_died(broken):
    with broken("disguised") as tunnel:
        process = tunnel.running.boxes.process("left")
        process.signal(signal.SIGKILL)
        process.wait(5)
        caught(tunnel.ping, "the daemon on left ended by itself with -9", "connected")


def test_one_that_a_test_left_dead_is_started_anew_for_the_next(broken, capture):
    with broken("disguised") as tunnel:
        tunnel.finish()
        tunnel.running.boxes.process("right").signal(signal.SIGKILL)
        wait_until(lambda: len(tunnel.running.dead()) == 2, timeout=5, what="both daemons to be gone")
        tunnel.revive()
        tunnel.begin(capture)
        tunnel.ping(sizes=("small",), count=1)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("left", "the daemon on left sent 0 bytes on left-eth0 for the 252 that it should have taken"),
        ("right", "bytes arrived on right-eth0, and the daemon on right did not hand them on"),
    ],
)
def test_a_daemon_that_is_stopped(broken, host, words):
    with broken("disguised") as tunnel, stopped(tunnel, host):
        told = "3 of 3 lost between tun0 of left and tun0 of right: "
        caught(lambda: tunnel.ping(sizes=("small",), **ONE_WAY), f"the daemon on {host} is stopped", told, words)
        if host == "left":
            caught(lambda: tunnel.counters(count=3), "packets went into tun0 of left and its daemon read 0 (tx +0)")


def test_a_daemon_that_drops_large_packets(broken):
    with broken("drops-over-1000") as tunnel:
        tunnel.ping(sizes=("small", 1000))
        caught(
            lambda: tunnel.ping(sizes=("mtu",), **ONE_WAY),
            "left to 10.9.0.2, 1500 bytes: 3 of 3 lost between tun0 of left and tun0 of right",
            "the daemon on left sent 0",
        )
        told = "left to right: 0 of 20,000 bytes arrived"
        caught(lambda: tunnel.transfer(bytes=20_000, timeout=1.0), "transfer FAIL", told)
        caught(tunnel.mtu, "mtu FAIL", "left to 10.9.0.2: 1000 bytes pass of the 1500 that the device says")


def test_icmp_is_dropped_at_an_end(broken, chain):
    drop = Chain("type filter hook input priority 0; policy accept;", ("icmp type echo-request drop",))
    with broken("disguised") as tunnel, chain.lab.applied(NftTable("right", "deaf", {"in": drop})):
        caught(
            lambda: tunnel.ping(sizes=("small",), **ONE_WAY),
            "3 of 3 came out of tun0 of right and were not answered there", "right-tun0.pcap frame",
        )  # fmt: skip
        assert tunnel.transfer(bytes=20_000).ok, "it is ICMP alone"


def test_an_unreachable_address_is_no_success(broken, chain):
    with broken("disguised") as tunnel:
        chain.lab.hosts["left"].run(["ip", "link", "set", "tun0", "down"])
        caught(lambda: tunnel.ping(sizes=("small",), **ONE_WAY), "none could be sent", "unreachable")


def test_a_wrong_certificate(broken, tmp_path, monkeypatch):
    stranger = broken_tunnels.wrong_certificate(tmp_path)
    monkeypatch.setitem(broken_tunnels.SUTS, stranger.name, stranger)

    def start() -> None:
        with broken("wrong-certificate"):
            pytest.fail("a tunnel with a stranger's certificate came up")

    fault = caught(start, "wrong-certificate was not up within 2.5 s", "VERIFY ERROR", "certificate")
    assert fault.exit_code == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("never-there", ("was not up within 0.5 s: tun0 on left is not there", "established connections")),
        ("ends-at-once", ("the daemon on left ended by itself with 3", "no such option: tun9")),
        ("deaf", ("no ping from left to 10.9.0.2", "1 on left, 1 on right", "tun0 of left: tx 0")),
    ],
)
def test_a_tunnel_that_never_gets_up_says_how_far_it_came(broken, name, words):
    def start() -> None:
        with broken(name):
            pytest.fail("it came up")

    caught(start, *words)


def test_a_tunnel_that_sends_in_clear(broken):
    with broken("in-clear") as tunnel:
        tunnel.ping(sizes=("small",), count=3)
        verdicts = {each.check: each for each in standing(TunnelTrace.load(tunnel.window.look()))}
        secrecy = verdicts["secrecy"]
        assert secrecy.outcome == "FAIL"
        assert "in clear on left-eth0.pcap, frame" in secrecy.summary
        assert {each.tap for each in secrecy.evidence} >= {"left-eth0.pcap", "right-eth0.pcap"}


def test_a_tunnel_that_does_not_keep_itself_alive(broken):
    with broken("silent") as tunnel:
        caught(lambda: tunnel.idle(0.8), "keepalive FAIL: nothing on left-eth0 for 0.8")


def test_a_transport_that_was_ended_although_nobody_was_to(broken, capture):
    with broken("disguised") as tunnel:
        tunnel.ping(sizes=("small",), count=1)
        tunnel.running.break_transport()
        wait_until(lambda: len(tunnel.running.dead()) == 2, timeout=5, what="both daemons to give up")
        (verdict,) = [each for each in standing(TunnelTrace.load(capture.look())) if each.check == "transport"]
        assert (verdict.outcome, verdict.fault) == ("FAIL", "product")
        assert verdict.summary == "left reset (RST) it (left-eth0.pcap)"


def test_a_device_that_stays_behind(broken):
    with pytest.raises(EnvironmentFault, match="left behind: left: interface tun0"), broken("leaves-device"):
        pass
