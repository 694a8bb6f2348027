"""The delay line's queues, between pairs of sockets that keep frames apart as a port does."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from hopscope.lab import delayline
from hopscope.lab.delayline import Direction, transmit_drops

OPTIONS = {"delay_ms": 5.0, "loss": 0.0, "reorder": 0.0, "reorder_ms": 20.0}


class Wire:
    """A host's end, the line's two ends, and the other host's end."""

    def __init__(self) -> None:
        self.near, source = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sink, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sockets = (self.near, source, sink, self.far)
        for each in self.sockets:
            each.setblocking(False)
        self.way = Direction(source.fileno(), sink.fileno(), seed=7)
        self.way.set(OPTIONS)

    def arrived(self) -> list[bytes]:
        frames = []
        try:
            while True:
                frames.append(self.far.recv(70000))
        except BlockingIOError:
            return frames


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    for each in wire.sockets:
        each.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    return now


def test_a_frame_waits_its_delay_and_no_longer(wire: Wire, clock: list[int]) -> None:
    wire.near.send(b"frame")
    wire.way.take()
    assert wire.way.due() == clock[0] + 5_000_000
    clock[0] += 4_999_999
    wire.way.give()
    assert wire.arrived() == []
    clock[0] += 1
    wire.way.give()
    assert wire.arrived() == [b"frame"]
    assert wire.way.due() is None
    assert wire.way.counters() == {
        "packets": 1,
        "bytes": 5,
        "lost": 0,
        "reordered": 0,
        "dropped": 0,
        "refused": 0,
        "longest": 1,
        "left": 0,
    }


def test_order_is_kept_also_when_the_delay_becomes_shorter(wire: Wire, clock: list[int]) -> None:
    wire.near.send(b"slow")
    wire.way.take()
    wire.way.set(OPTIONS | {"delay_ms": 0.0})
    wire.near.send(b"fast")
    wire.way.take()
    wire.way.give()
    assert wire.arrived() == []
    clock[0] += 5_000_000
    wire.way.give()
    assert wire.arrived() == [b"slow", b"fast"]


def test_what_is_reordered_comes_later_than_the_rest(wire: Wire, clock: list[int]) -> None:
    wire.way.set(OPTIONS | {"reorder": 1.0})
    wire.near.send(b"late")
    wire.way.take()
    wire.way.set(OPTIONS)
    wire.near.send(b"punctual")
    wire.way.take()
    clock[0] += 5_000_000
    wire.way.give()
    assert wire.arrived() == [b"punctual"]
    assert wire.way.due() == clock[0] + 20_000_000
    clock[0] += 20_000_000
    wire.way.give()
    assert wire.arrived() == [b"late"]
    assert wire.way.reordered == 1


def test_loss_is_a_share_and_the_same_for_the_same_seed(wire: Wire, clock: list[int]) -> None:
    wire.way.set(OPTIONS | {"loss": 0.3})
    for number in range(200):
        wire.near.send(number.to_bytes(2, "big"))
        wire.way.take()
    assert 40 <= wire.way.lost <= 80
    again = Direction(wire.way.source, wire.way.sink, seed=7)
    again.set(OPTIONS | {"loss": 0.3})
    for number in range(200):
        wire.near.send(number.to_bytes(2, "big"))
        again.take()
    assert [frame for _, frame in again.punctual] == [frame for _, frame in wire.way.punctual]


def test_a_batch_at_a_time_so_that_both_directions_have_their_turn(wire: Wire) -> None:
    for _ in range(delayline.BATCH + 10):
        wire.near.send(b"x")
    wire.way.take()
    assert len(wire.way.punctual) == delayline.BATCH
    wire.way.take()
    assert len(wire.way.punctual) == delayline.BATCH + 10


def test_a_full_queue_drops_and_counts(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayline, "QUEUE_LIMIT", 10)
    for _ in range(4):
        wire.near.send(b"12345678")
    wire.way.take()
    assert (len(wire.way.punctual), wire.way.dropped) == (2, 2)


def test_a_sink_that_is_full_keeps_the_frame(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.way.set(OPTIONS | {"delay_ms": 0.0})
    wire.near.send(b"frame")
    wire.way.take()
    write = os.write

    def full(fd: int, data: bytes) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "write", full)
    wire.way.give()
    assert wire.way.blocked
    assert wire.way.due() is None, "woken by the sink, not by the clock"
    monkeypatch.setattr(os, "write", write)
    wire.way.give()
    assert wire.arrived() == [b"frame"]
    assert not wire.way.blocked


def test_a_port_that_is_down_costs_the_frame_and_is_counted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.way.set(OPTIONS | {"delay_ms": 0.0})
    wire.near.send(b"frame")
    wire.way.take()

    def down(fd: int, data: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", down)
    wire.way.give()
    assert (wire.way.refused, wire.way.packets, len(wire.way.punctual)) == (1, 0, 0)


def test_drops_of_a_port_are_read_from_the_kernels_table() -> None:
    assert transmit_drops("lo") >= 0
    assert transmit_drops("no-such-port") == 0
