"""A process that stays on a host: its end, its group, and a connection that breaks under it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopscope.errors import CommandTimeout, ConnectionLost, EnvironmentFault
from hopscope.hosts.process import log_files
from hopscope.hosts.ssh_process import SshProcess

PID, GROUP = 70, 69


class Host:
    """The stream of one process and what was sent to it. ``end(code)`` ends it, ``end(None)`` breaks its connection;
    ``mortal`` says which signals to its group do."""

    def __init__(self, folder: Path, mortal: tuple[int, ...] = (signal.SIGTERM,)) -> None:
        self.sent: list[tuple[int, int]] = []
        self.released = 0
        self._mortal, self._code = mortal, None
        self._over = threading.Event()
        stream: Any = SimpleNamespace(pid=PID, group=GROUP, complete=self._complete)
        logs, files = log_files(folder, "box")
        self.files = files
        self.process = SshProcess(
            "box",
            "far",
            stream,
            logs,
            files,
            kill=self._kill,
            lost=lambda: ConnectionLost("lost while `box` ran", host="far"),
            release=self._release,
        )

    def end(self, code: int | None) -> None:
        self._code = code
        self._over.set()

    def _complete(self, stdin: object, deadline: object) -> int:
        self._over.wait(10)
        if self._code is None:
            raise ConnectionLost("the connection was lost")
        return self._code

    def _kill(self, sig: int, target: int) -> None:
        self.sent.append((sig, target))
        if target == -GROUP and sig in self._mortal and not self._over.is_set():
            self.end(-sig)

    def _release(self) -> None:
        self.released += 1


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    made: list[Host] = []
    yield made
    for host in made:
        host.end(0)
        host.process._thread.join(5)


def test_an_end_by_itself_has_its_code_and_gives_everything_back(tmp_path: Path, hosts: list[Host]) -> None:
    hosts.append(host := Host(tmp_path))
    assert host.process.poll() is None
    with pytest.raises(CommandTimeout, match=r"box did not end within 0\.01 s"):
        host.process.wait(0.01)
    host.end(7)
    assert (host.process.wait(5), host.process.poll(), host.process.stop()) == (7, 7, 7)
    assert (host.released, [file.closed for file in host.files]) == (1, [True, True])
    assert host.sent == [(signal.SIGKILL, -GROUP)], "what outlives it in its group"
    host.process.signal(signal.SIGHUP)
    assert len(host.sent) == 1


def test_a_signal_is_the_processes_and_a_stop_its_groups(tmp_path: Path, hosts: list[Host]) -> None:
    hosts.append(host := Host(tmp_path))
    host.process.signal(signal.SIGUSR1)
    with host.process as process:
        pass
    assert process.returncode == -signal.SIGTERM
    assert host.sent[:2] == [(signal.SIGUSR1, PID), (signal.SIGTERM, -GROUP)]


def test_one_that_ignores_the_request_is_killed_and_one_that_stays_is_told(
    tmp_path: Path, hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.append(deaf := Host(tmp_path, mortal=(signal.SIGKILL,)))
    assert deaf.process.stop(timeout=0.01) == -signal.SIGKILL
    monkeypatch.setattr("hopscope.hosts.ssh_process.KILL_SECONDS", 0.01)
    hosts.append(immortal := Host(tmp_path, mortal=()))
    with pytest.raises(EnvironmentFault, match="box does not end, not even by KILL"):
        immortal.process.stop(timeout=0.01)


def test_a_lost_one_has_no_code_and_its_group_is_killed_over_a_new_connection(
    tmp_path: Path, hosts: list[Host]
) -> None:
    hosts.append(host := Host(tmp_path))
    host.end(None)
    host.process._thread.join(5)
    for ask in (host.process.poll, lambda: host.process.wait(1)):
        with pytest.raises(ConnectionLost, match="lost while `box` ran"):
            ask()
    assert host.sent == []
    assert host.process.stop() == -signal.SIGKILL
    assert host.sent == [(signal.SIGKILL, -GROUP)]
