from __future__ import annotations

import pytest
from hopscope_nic.io import next_hop
from hopscope_nic.io.netlink import Hop, Neighbour
from hopscope_nic.io.next_hop import NO_ROUTE, PATIENCE, REFRESH, UNRESOLVED, NextHops, apply_changes
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
    assert kernel.used == 2
    gone = []
    hops.resolved(GATEWAY, b"", lambda to, frame: gone.append((to, bytes(frame))))
    assert gone == []
    hops.resolved(GATEWAY, MAC, lambda to, frame: gone.append((to, bytes(frame))))
    assert gone == [(SERVER, b"one"), (SERVER, b"two")]
    assert hops.headers[SERVER] == header(MAC)
    assert hops.next_deadline() is None


def test_not_for_ever_and_not_without_a_bound(hops):
    results = [hops.find(SERVER, bytearray(60), 0.0) for _ in range(100)]
    assert results.count(UNRESOLVED) == 36
    assert hops.next_deadline() == PATIENCE
    assert hops.tick(PATIENCE) == 64
    assert hops.next_deadline() is None


def test_somewhere_else(kernel, hops):
    kernel.hop = Hop(2, GATEWAY)
    assert hops.find(SERVER, bytearray(60), 0.0) == NO_ROUTE
    kernel.hop = None
    assert hops.find(SERVER, bytearray(60), 0.0) == NO_ROUTE


def test_asked_again_after_a_while_and_used_meanwhile(kernel, hops):
    kernel.mac = MAC
    hops.find(SERVER, bytearray(60), 0.0)
    hops.tick(0.0)
    hops.tick(REFRESH)
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
