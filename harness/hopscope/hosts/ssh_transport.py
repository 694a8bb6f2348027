"""paramiko's transport, with what it lacks for commands that may end at any time, in any way."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any, ClassVar

import paramiko
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_CHANNEL_REQUEST,
    cMSG_CHANNEL_CLOSE,
    cMSG_CHANNEL_REQUEST,
)

CIPHERS = ("aes128-gcm@openssh.com", "aes128-ctr")


class Transport(paramiko.Transport):  # type: ignore[misc]  # paramiko has no types
    """Hears also which signal ended a command (RFC 4254, 6.10), which paramiko drops, and wakes whoever waits."""

    _preferred_ciphers = CIPHERS + tuple(c for c in paramiko.Transport._preferred_ciphers if c not in CIPHERS)

    @staticmethod
    def _request(channel: Any, message: paramiko.Message) -> None:
        said = paramiko.Message(message.get_remainder())
        kind = said.get_text()
        said.get_boolean()
        if kind == "exit-status":
            channel.ending = said.get_int()
        elif kind == "exit-signal":
            channel.ending = -_signal_number(said.get_text())
            channel.status_event.set()
        channel._handle_request(message)
        if kind.startswith("exit-") and getattr(channel, "wake", None) is not None:
            channel.wake.set()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._closing = threading.Lock()
        self._unanswered: float | None = None
        self._handler_table[MSG_CHANNEL_OPEN_SUCCESS] = self._opened
        self._handler_table[MSG_CHANNEL_OPEN_FAILURE] = self._refused

    @property
    def unanswered_seconds(self) -> float:
        """For how long sessions have been asked for and none was opened or refused."""
        since = self._unanswered
        return 0.0 if since is None else time.monotonic() - since

    def open_session(self, *given: Any, **named: Any) -> Any:
        if self._unanswered is None:
            self._unanswered = time.monotonic()
        return super().open_session(*given, **named)

    def _opened(self, message: paramiko.Message) -> None:
        """A session that comes when nobody waits for it any more is closed: it would keep a place of MaxSessions."""
        self._unanswered = None
        ours, theirs = message.get_int(), message.get_int()
        channel = self._channels.get(ours)  # kept by whoever waits for it, and here
        if channel is None:
            answer = paramiko.Message()
            answer.add_byte(cMSG_CHANNEL_CLOSE)
            answer.add_int(theirs)
            self._send_message(answer)
            return
        message.rewind()
        self._parse_channel_open_success(message)

    def _refused(self, message: paramiko.Message) -> None:
        self._unanswered = None
        self._parse_channel_open_failure(message)

    def end_input(self, channel: Any) -> None:
        """Say that no more input comes, unless the channel is closed: OpenSSH ends the whole connection when it is told
        so of a channel that it has just closed, and a command may end at any time."""
        with self._closing:
            if not channel.closed:
                channel.shutdown_write()

    def execute(self, channel: Any, line: str) -> None:
        """Ask for a command (RFC 4254, 6.5) and wait for no answer: the command's own first line is one, half a round
        trip later, and a refusal closes the channel. paramiko waits for it, a round trip for each command."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(channel.remote_chanid)
        message.add_string("exec")
        message.add_boolean(True)
        message.add_string(line)
        self._send_user_message(message)

    @staticmethod
    def _close(channel: Any, message: paramiko.Message) -> None:
        lock = channel.get_transport()._closing
        held = lock.acquire(timeout=1.0)  # who holds it may be waiting for new keys, which this thread has to make
        try:
            channel._handle_close(message)
        finally:
            if held:
                lock.release()

    _channel_handler_table: ClassVar[dict[int, Any]] = {
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_REQUEST: _request,
        MSG_CHANNEL_CLOSE: _close,
    }


def _signal_number(name: str) -> int:
    """The number of TERM or KILL; one beyond all for a signal that SSH has no name for (XFSZ, BUS)."""
    return int(getattr(signal, f"SIG{name}", signal.NSIG))
