from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from paramiko.buffered_pipe import BufferedPipe

from hopscope.errors import ConnectionLost
from hopscope.hosts import ssh_stream
from hopscope.hosts.ssh_stream import Heading, Stream


class Channel:
    """As much of a channel as a stream uses: two pipes, a status, and what was sent."""

    def __init__(self) -> None:
        self.in_buffer, self.in_stderr_buffer = BufferedPipe(), BufferedPipe()
        self.status_event = threading.Event()
        self.ending: int | None = None
        self.eof_received = self.closed = False
        self.wake: threading.Event | None = None

    def recv_ready(self) -> bool:
        return bool(self.in_buffer.read_ready())

    def recv_stderr_ready(self) -> bool:
        return bool(self.in_stderr_buffer.read_ready())

    def recv(self, size: int) -> bytes:
        return bytes(self.in_buffer.read(size))

    def recv_stderr(self, size: int) -> bytes:
        return bytes(self.in_stderr_buffer.read(size))

    def end(self, code: int | None, *, eof: bool = True) -> None:
        self.ending = code
        if eof:
            self.eof_received = True
            self.in_buffer.close()
            self.in_stderr_buffer.close()
        self.closed = self.closed or code is None
        self.status_event.set()
        if self.wake is not None:
            self.wake.set()


@pytest.fixture
def channel() -> Channel:
    return Channel()


def stream(channel: Any) -> tuple[Stream, bytearray, bytearray]:
    out, err = bytearray(), bytearray()
    return Stream(channel, "T1", out.extend, err.extend), out, err


@pytest.mark.parametrize(
    "pieces", [[b"T1 7 8\nabc"], [b"hello T", b"1 7", b" 8", b"\na", b"bc"], [b"x\nT1 7 8\n", b"abc"]]
)
def test_what_comes_before_the_token_is_set_aside(pieces: list[bytes]) -> None:
    seen = bytearray()
    heading = Heading("T1", seen.extend)
    for piece in pieces:
        heading.feed(piece)
    assert (heading.words, bytes(seen)) == ([b"7", b"8"], b"abc")
    assert b"T1" not in heading.noise


def test_a_command_is_over_when_its_status_is_there_and_its_output_has_ended(channel: Channel) -> None:
    one, out, err = stream(channel)
    channel.in_buffer.feed(b"T1 7 8\nout")
    channel.in_stderr_buffer.feed(b"T1\nerr")
    channel.end(3)
    assert one.complete(None, time.monotonic() + 5) == 3
    assert (bytes(out), bytes(err), one.pid, one.group) == (b"out", b"err", 7, 8)


def test_output_that_comes_after_the_status_is_not_lost(channel: Channel) -> None:
    one, out, _ = stream(channel)
    channel.in_buffer.feed(b"T1 7 8\n")
    channel.end(0, eof=False)
    threading.Timer(ssh_stream.DRAIN_SECONDS / 3, lambda: channel.in_buffer.feed(b"late")).start()
    assert one.complete(None, time.monotonic() + 5) == 0
    assert bytes(out) == b"late"


@pytest.mark.parametrize("late_s", [0.3, 1.2])
def test_a_first_line_that_sshd_still_has_in_hand_is_awaited(channel: Channel, late_s: float) -> None:
    one, out, _ = stream(channel)
    channel.end(0, eof=False)
    threading.Timer(late_s, lambda: channel.in_buffer.feed(b"T1 7 8\nwhole")).start()
    assert one.complete(None, time.monotonic() + 5) == 0
    assert (one.begun, bytes(out)) == (True, b"whole")


def test_streams_that_a_child_keeps_open_are_not_waited_for(channel: Channel) -> None:
    one, _, _ = stream(channel)
    channel.in_buffer.feed(b"T1 7 8\n")
    channel.end(0, eof=False)
    started = time.monotonic()
    assert one.complete(None, started + 30) == 0
    assert time.monotonic() - started < 2


def test_at_the_deadline_and_at_the_limit_there_is_no_code(channel: Channel) -> None:
    one, _, _ = stream(channel)
    channel.in_buffer.feed(b"T1 7 8\n" + bytes(100))
    assert one.complete(None, time.monotonic() + 0.05) is None
    channel.in_buffer.feed(bytes(100))
    assert one.complete(None, time.monotonic() + 5, limit=150) is None


def test_an_end_without_a_status_is_a_lost_connection(channel: Channel) -> None:
    one, out, _ = stream(channel)
    channel.in_buffer.feed(b"T1 7 8\nsome")
    channel.end(None)
    with pytest.raises(ConnectionLost):
        one.complete(None, time.monotonic() + 5)
    assert bytes(out) == b"some"


def test_a_first_line_is_seen_although_the_command_has_ended(channel: Channel) -> None:
    one, _, _ = stream(channel)
    channel.end(127, eof=False)
    channel.in_buffer.feed(b"T1 7 8\n")
    assert one.until(lambda: one.begun, time.monotonic() + 1)
    assert one.ending == 127
