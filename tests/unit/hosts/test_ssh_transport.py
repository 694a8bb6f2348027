"""What a transport sends of its own accord."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

from hopscope.hosts.ssh_transport import Transport


def test_a_command_is_asked_for_and_its_answer_is_not_waited_for() -> None:
    sent: list[Any] = []
    Transport.execute(SimpleNamespace(_send_user_message=sent.append), SimpleNamespace(remote_chanid=7), "true")  # type: ignore[arg-type]
    told = paramiko.Message(sent[0].asbytes())
    assert (told.get_byte()[0], told.get_int()) == (MSG_CHANNEL_REQUEST, 7)
    assert (told.get_text(), told.get_boolean(), told.get_text()) == ("exec", True, "true")
