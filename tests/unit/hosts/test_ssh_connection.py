"""Whom a connection trusts, and with which keys it asks to be let in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hopscope.errors import CommandTimeout, EnvironmentFault
from hopscope.hosts import ssh_connection
from hopscope.hosts.ssh_connection import Connection, Target
from hopscope.hosts.wait import wait_until


@pytest.fixture
def key(tmp_path: Path) -> Callable[[str], Path]:
    """``key(name)``: the file of a new private key."""

    def key(name: str) -> Path:
        private = Ed25519PrivateKey.generate()
        form = serialization.PrivateFormat.OpenSSH
        file = tmp_path / name
        file.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return file

    return key


def read(file: Path) -> Any:
    return paramiko.PKey.from_path(file)


def known(folder: Path, name: str, key: Any) -> Path:
    file = folder / "known_hosts"
    file.write_text(f"{name} {key.get_name()} {key.get_base64()}\n")
    return file


def test_a_pinned_key_is_the_only_one(key: Callable[[str], Path], tmp_path: Path) -> None:
    mine, other = read(key("mine")), read(key("other"))
    file = known(tmp_path, "box", other)
    connection = Connection("box", Target("box", fingerprint=mine.fingerprint, known_hosts=file))
    connection._trust(mine)
    with pytest.raises(EnvironmentFault, match="is not the pinned one: nothing was sent to it") as caught:
        connection._trust(other)
    assert f"pinned: {mine.fingerprint}" in (caught.value.evidence or "")


@pytest.mark.parametrize(("port", "name"), [(22, "box"), (2222, "[box]:2222")])
def test_a_known_key_is_looked_up_with_its_port_and_a_new_one_is_not_learnt(
    key: Callable[[str], Path], tmp_path: Path, port: int, name: str
) -> None:
    mine, other = read(key("mine")), read(key("other"))
    target = Target("box", port, known_hosts=known(tmp_path, name, mine))
    Connection("box", target)._trust(mine)
    with pytest.raises(EnvironmentFault, match="is another one than in"):
        Connection("box", target)._trust(other)
    for elsewhere in (replace(target, port=port + 1), replace(target, known_hosts=tmp_path / "none")):
        with pytest.raises(EnvironmentFault, match="is not in"):
            Connection("box", elsewhere)._trust(mine)
    assert target.known_hosts.read_text().count("\n") == 1


class Door:
    """Takes the keys with these fingerprints."""

    def __init__(self, *takes: str, more: tuple[str, ...] = ()) -> None:
        self.takes, self.more, self.tried = takes, more, list[str]()

    def auth_publickey(self, user: str, key: Any) -> tuple[str, ...]:
        self.tried.append(key.fingerprint)
        if key.fingerprint not in self.takes:
            raise paramiko.AuthenticationException("Authentication failed.")
        return self.more

    def is_active(self) -> bool:
        return True


@pytest.fixture
def agent(key: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An agent with one key; ``closed`` counts."""
    found = SimpleNamespace(key=read(key("agents")), closed=0)

    def close() -> None:
        found.closed += 1

    monkeypatch.setattr(
        ssh_connection.paramiko, "Agent", lambda: SimpleNamespace(get_keys=lambda: (found.key,), close=close)
    )
    return found


def test_keys_are_tried_in_order_and_the_agent_is_closed(key: Callable[[str], Path], agent: Any) -> None:
    files = (key("first"), key("second"))
    prints = [read(file).fingerprint for file in files]
    for target, takes, tried in (
        (Target("box", keys=files), prints[1], prints),
        (Target("box", keys=files, agent=True), agent.key.fingerprint, [*prints, agent.key.fingerprint]),
        (Target("box", agent=True), agent.key.fingerprint, [agent.key.fingerprint]),
    ):
        door: Any = Door(takes)
        Connection("box", target)._log_in(door)
        assert door.tried == tried
    assert agent.closed == 2


def test_a_login_that_is_refused_tells_what_was_tried(key: Callable[[str], Path], agent: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("no key")
    good = key("good")
    door: Any = Door(read(good).fingerprint, more=("password",))
    with pytest.raises(EnvironmentFault, match="root@box:22 takes none of the keys") as caught:
        Connection("box", Target("box", keys=(bad, good), agent=True))._log_in(door)
    told = (caught.value.evidence or "").splitlines()
    assert told[0].startswith(f"{bad}: ")
    assert told[1] == f"{good}: accepted, but the host also wants password"
    assert told[2] == f"agent: {agent.key.get_name()} {agent.key.fingerprint}: Authentication failed."


def test_sessions_are_as_many_as_the_server_allows_and_one_is_kept_for_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection("box", Target("box", max_sessions=3))
    monkeypatch.setattr(connection, "_open", lambda what, timeout: SimpleNamespace(close=lambda: None, gate=None))
    one, two = connection.open("sleep 1", timeout=1), connection.open("sleep 2", timeout=1)
    with pytest.raises(CommandTimeout, match=r"no session became free within 0\.01 s for `true`") as caught:
        connection.open("true", timeout=0.01)
    assert caught.value.evidence == "busy:\nsleep 1\nsleep 2"
    signal = connection.open("kill", timeout=0.01, reserved=True)
    connection.release(two)
    connection.release(two)
    connection.release(connection.open("true", timeout=0.01))
    for channel in (one, signal):
        connection.release(channel)


class Busy(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
    """Lets everybody in, and opens a session when ``free`` is set."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def check_auth_publickey(self, username: str, key: Any) -> int:
        return int(paramiko.AUTH_SUCCESSFUL)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.free.wait(5)
        return int(paramiko.OPEN_SUCCEEDED)


@pytest.fixture
def busy(key: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Busy, Any]]:
    """A connection to a server in this process that is slow to open sessions; a fifth of a second is long here."""
    host_key, here_there = read(key("host")), socket.socketpair()
    server, there = Busy(), paramiko.Transport(here_there[1])
    there.set_log_channel(ssh_connection.LOG)
    there.add_server_key(host_key)
    there.start_server(event=threading.Event(), server=server)
    connection = Connection("box", Target("box", fingerprint=host_key.fingerprint, keys=(key("mine"),)))
    monkeypatch.setattr(connection, "_stream", lambda: here_there[0])
    connection._live()
    monkeypatch.setattr(ssh_connection, "CONNECT_SECONDS", 0.2)
    yield connection, server, there
    server.free.set()
    connection.close()
    there.close()


def test_a_host_that_is_slow_keeps_its_connection_and_a_session_that_comes_late_is_closed(
    busy: tuple[Connection, Busy, Any],
) -> None:
    connection, server, there = busy
    transport = connection._live()
    with pytest.raises(CommandTimeout, match=r"root@box:22 opened no session within 0\.2 s for `true`") as caught:
        connection.open("true", timeout=1)
    assert transport.is_active()
    server.free.set()
    late = there.accept(5)
    wait_until(lambda: late.closed, timeout=5, what="the late session to be closed")
    with connection.session("true", timeout=1):
        assert transport.unanswered_seconds == 0
    assert connection._live() is transport
    assert caught.value.host == "box"  # and is held until here, as a report would


def test_a_host_that_does_not_answer_for_long_is_given_up_and_that_is_told(
    busy: tuple[Connection, Busy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, _, _ = busy
    monkeypatch.setattr(ssh_connection, "GONE_SECONDS", 0.3)
    with pytest.raises(CommandTimeout):
        connection.open("sign of life", timeout=1)
    with pytest.raises(EnvironmentFault, match="root@box:22 cannot be reached by SSH") as caught:
        connection.open("sign of life", timeout=1)
    assert caught.value.evidence == "given up: no answer for 0 s"
    for _ in range(2):
        assert connection.lost("sleep 9").evidence == "connection: given up: no answer for 0 s"
