"""The streams of one remote command, from its first byte to its end.

Both are emptied in one loop: a command whose standard error is full stands still, and with it the output that one waits
for. The end is the exit status and not the end of output, which a background child may keep open for ever. sshd tells
the status as soon as the process has ended and may still have its last output in hand, so what follows is awaited for a
moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import paramiko

from hopscope.errors import ConnectionLost

CHUNK = 1 << 20
DRAIN_SECONDS = 0.6  # of silence after the exit status, where somebody keeps the streams open; sshd may have to wait
DRAIN_LIMIT_SECONDS = 2.0  # of a background child that goes on writing
HEADING_SECONDS = 10.0  # for the first line after the exit status: it was written before and is on its way
STDIN_SECONDS = 0.005  # until a full window is looked at again

Sink = Callable[[bytes], object]


class Heading:
    """Sets aside what comes before the token, and passes on what comes after its line."""

    def __init__(self, token: str, sink: Sink) -> None:
        self.noise = bytearray()
        self.words: list[bytes] | None = None
        self._token = token.encode()
        self._sink = sink

    def feed(self, data: bytes) -> None:
        if self.words is not None:
            self._sink(data)
            return
        self.noise += data
        start = self.noise.find(self._token)
        end = self.noise.find(b"\n", start)
        if start >= 0 and end >= 0:
            self.words = bytes(self.noise[start:end]).split()[1:]
            rest = bytes(self.noise[end + 1 :])
            del self.noise[start:]
            if rest:
                self._sink(rest)


class Stream:
    """``begun`` once the token was seen; ``pid`` and ``group`` are the command's then."""

    def __init__(self, channel: paramiko.Channel, token: str, out: Sink, err: Sink) -> None:
        self.channel = channel
        self.out = Heading(token, out)
        self.err = Heading(token, err)
        self.bytes = 0
        self._wake = threading.Event()
        channel.wake = self._wake
        channel.in_buffer.set_event(self._wake)
        channel.in_stderr_buffer.set_event(self._wake)

    @property
    def ending(self) -> int | None:
        """The code that sshd has told, a signal's number negated."""
        code: int | None = getattr(self.channel, "ending", None)
        return code

    @property
    def begun(self) -> bool:
        return self.out.words is not None

    @property
    def pid(self) -> int:
        return int(self._word(0))

    @property
    def group(self) -> int:
        return int(self._word(1))

    @property
    def connection(self) -> tuple[str, ...]:
        """What sshd says of the connection: address and port of the client, then the server's. Nothing behind sudo."""
        return tuple(word.decode() for word in (self.out.words or [])[2:])

    @property
    def noise(self) -> str:
        """What the login said before our command began, on both streams."""
        return (bytes(self.out.noise) + bytes(self.err.noise)).decode(errors="replace").strip()

    def until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Move bytes until ``condition`` holds, or the command has ended, or the deadline. Whether it holds."""
        while not condition():
            if self._move():
                continue
            if self._ended() or not self._wait(deadline):
                return condition()
        return True

    def complete(self, stdin: bytes | None, deadline: float | None, limit: int | None = None) -> int | None:
        """Move bytes until the command has ended, and return its code (a signal's number negated).

        None when the deadline or the limit of bytes came first. Raises ConnectionLost.
        """
        pending = memoryview(stdin or b"")
        while True:
            moved = self._move()
            if pending and not self.channel.closed:
                pending, sent = self._send(pending)
                moved = moved or sent
            if limit is not None and self.bytes > limit:
                return None
            if self._ended():
                return self._conclude()
            if not moved and not self._wait(deadline, STDIN_SECONDS if pending else None):
                return None

    def _conclude(self) -> int:
        silent_since = started = time.monotonic()
        while not self.channel.eof_received and not self.channel.closed:
            if self._move():
                silent_since = time.monotonic()
            else:
                self._wake.clear()  # the status has set it; what comes in between is seen after the wait
                self._wake.wait(0.01)
            now = time.monotonic()
            if self.begun and (now - silent_since >= DRAIN_SECONDS or now - started > DRAIN_LIMIT_SECONDS):
                break
            if now - started > HEADING_SECONDS:
                break
        while self._move():
            pass
        code = self.ending
        if code is None:
            raise ConnectionLost("the connection was lost")
        return code

    def _ended(self) -> bool:
        return self.ending is not None or self.channel.closed

    def _move(self) -> bool:
        """What has arrived on both streams; whether there was anything."""
        moved = False
        if self.channel.recv_ready() and (data := self.channel.recv(CHUNK)):
            moved = True
            self.bytes += len(data)
            self.out.feed(data)
        if self.channel.recv_stderr_ready() and (data := self.channel.recv_stderr(CHUNK)):
            moved = True
            self.bytes += len(data)
            self.err.feed(data)
        return moved

    def _send(self, pending: memoryview) -> tuple[memoryview, bool]:
        if not self.channel.send_ready():
            return pending, False
        try:
            sent = self.channel.send(bytes(pending[:CHUNK]))
        except OSError:
            return memoryview(b""), True  # nobody reads any more
        pending = pending[sent:]
        if not pending:
            self.channel.get_transport().end_input(self.channel)
        return pending, True

    def _wait(self, deadline: float | None, longest: float | None = None) -> bool:
        """Until something may have come; False at the deadline. At the end of output the event stays set for ever, so
        what is left to wait for then is the status."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        pauses = [pause for pause in (left, longest) if pause is not None]
        event = self.channel.status_event if self.channel.eof_received else self._wake
        event.wait(min(pauses) if pauses else None)
        return True

    def _word(self, index: int) -> bytes:
        assert self.out.words is not None
        return self.out.words[index]
