"""paramiko's transport, with what it lacks for commands that may end at any time, in any way."""

from __future__ import annotations

import signal
import threading
from typing import Any, ClassVar

import paramiko
from paramiko.common import MSG_CHANNEL_CLOSE, MSG_CHANNEL_REQUEST, cMSG_CHANNEL_REQUEST

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
