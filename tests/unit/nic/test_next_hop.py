from __future__ import annotations

import pytest

from hopscope_nic.io import next_hop
from hopscope_nic.io.netlink import Hop, Neighbour
from hopscope_nic.io.next_hop import ASK_AGAIN, NO_ROUTE, PATIENCE, REFRESH, UNRESOLVED, NextHops, apply_changes
from hopscope_nic.io.ports import Port

PORT = Port("eth1", 3, b"\x02\0\0\0\0\1", 1500, ())
GATEWAY, SERVER = bytes((10, 1, 1, 2)), bytes((10, 1, 2, 10))
MAC, OTHER = b"\x02\0\0\0\0\2", b"\x02\0\0\0\0\3"


class Kernel:
    """A forwarding table with one route and an ARP table."""

    def __init__(self) -> None:
        self.hop: Hop | None = Hop(3, GATEWAY)
        self.mac = b""
        self.used = 0

    def route(self, destination):
        return self.hop

    def neighbour(self, hop):
        return self.mac

    def use_neighbour(self, hop):
        self.used += 1

    def gateways(self):
        return [Hop(3, GATEWAY), Hop(2, SERVER)]


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def hops(kernel):
    return NextHops(PORT, kernel)


def header(mac):
    return mac + PORT.mac + b"\x08\x00"


def test_by_the_forwarding_table(kernel, hops):
    kernel.mac = MAC
    assert hops.find(SERVER, bytearray(60), 0.0) is None
    assert hops.headers == {SERVER: header(MAC)}


def test_who_sent_a_syn_can_be_answered(hops):
    hops.learn(SERVER, MAC)
    hops.learn(SERVER, OTHER)
    assert hops.headers == {SERVER: header(MAC)}


def test_packets_wait_for_arp_and_then_go(kernel, hops):
    assert hops.find(SERVER, bytearray(b"one"), 0.0) == ""
    assert hops.find(SERVER, bytearray(b"two"), 0.1) == ""
    assert kernel.used == 1, "the kernel is asked once"
    gone = []
    hops.resolved(GATEWAY, b"", lambda to, frame: gone.append((to, bytes(frame))))
    assert gone == []
    hops.resolved(GATEWAY, MAC, lambda to, frame: gone.append((to, bytes(frame))))
    assert gone == [(SERVER, b"one"), (SERVER, b"two")]
    assert hops.headers[SERVER] == header(MAC)
    assert hops.next_deadline() is None


def test_not_for_ever_and_not_without_a_bound(hops, monkeypatch):
    monkeypatch.setattr(next_hop, "WAITING", 64)
    results = [hops.find(SERVER, bytearray(60), 0.0) for _ in range(100)]
    assert results.count(UNRESOLVED) == 36
    lost = 0
    while (now := hops.next_deadline()) is not None:
        lost += hops.tick(now, nothing)
        last = now
    assert lost == 64
    assert PATIENCE <= last <= PATIENCE + ASK_AGAIN


def nothing(to, frame):
    pytest.fail("nothing is sent")


def test_asked_again_in_case_a_message_was_lost(kernel, hops):
    assert hops.find(SERVER, bytearray(b"one"), 0.0) == ""
    kernel.mac = MAC
    gone = []
    assert hops.tick(hops.next_deadline(), lambda to, frame: gone.append(bytes(frame))) == 0
    assert gone == [b"one"]


def test_gateways_are_resolved_beforehand(kernel, hops):
    hops.warm_up()
    assert kernel.used == 1


def test_somewhere_else(kernel, hops):
    kernel.hop = Hop(2, GATEWAY)
    assert hops.find(SERVER, bytearray(60), 0.0) == NO_ROUTE
    kernel.hop = None
    assert hops.find(SERVER, bytearray(60), 0.0) == NO_ROUTE


def test_asked_again_after_a_while_and_used_meanwhile(kernel, hops):
    kernel.mac = MAC
    hops.find(SERVER, bytearray(60), 0.0)
    hops.tick(0.0, nothing)
    hops.tick(REFRESH, nothing)
    assert hops.headers == {}
    kernel.mac = b""
    assert hops.find(SERVER, bytearray(60), REFRESH) is None
    assert hops.headers == {SERVER: header(MAC)}


def test_a_neighbour_that_moves(kernel, hops):
    kernel.mac = MAC
    hops.find(SERVER, bytearray(60), 0.0)

    class Changes:
        def read(self):
            return [Neighbour(3, GATEWAY, OTHER), Neighbour(99, GATEWAY, MAC)], False

    apply_changes(Changes(), {3: hops}, lambda *sent: pytest.fail("nothing waits"))
    assert hops.headers == {SERVER: header(OTHER)}


def test_a_learnt_neighbour_that_moves(hops):
    hops.learn(SERVER, MAC)
    hops.resolved(SERVER, OTHER, nothing)
    assert hops.headers == {SERVER: header(OTHER)}


def test_a_route_that_changes(kernel, hops):
    hops.learn(SERVER, MAC)

    class Changes:
        def read(self):
            return [], True

    apply_changes(Changes(), {3: hops}, lambda *sent: None)
    assert hops.headers == {}


def test_bounded(hops, monkeypatch):
    monkeypatch.setattr(next_hop, "_KNOWN", 4)
    for number in range(20):
        hops.learn(bytes((10, 0, 0, number)), MAC)
    assert len(hops.headers) <= 4
