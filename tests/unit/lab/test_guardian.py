"""The guardian of a lease: who gets it, what ends it, and what it does when nobody has released it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hopscope.hosts.wait import wait_until
from hopscope.lab import guardian

#: Without its look for an sshd above it: whoever runs this test may have come by one, which would be ended.
PROGRAM = "import sys; from hopscope.lab import guardian; guardian.connection = lambda: 0; sys.exit(guardian.main())"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(ttl, owner)``: a guardian of the lease ``lock``, whose commands are in ``scratch/undo``."""
    running: list[subprocess.Popen[str]] = []
    (tmp_path / "scratch").mkdir()

    def start(ttl: float = 30.0, owner: str = "me") -> subprocess.Popen[str]:
        words = [str(tmp_path / "lock"), str(tmp_path / "scratch/undo"), str(ttl), owner]
        running.append(subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def said(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    found: dict[str, str] = json.loads(process.stdout.readline())
    return found


def leave(folder: Path, *commands: list[str]) -> None:
    lines = [json.dumps({"argv": argv, "stdin": "said"}) + "\n" for argv in commands]
    (folder / "scratch/undo").write_text("".join(lines))


def test_one_has_the_lease_and_the_next_is_told_who(start: Start) -> None:
    assert said(start(owner="first")) == {"event": "held"}
    second = start(owner="second")
    assert said(second) == {"event": "taken", "by": "first"}
    assert second.wait(5) == 3


def test_a_lease_that_is_released_undoes_nothing(start: Start, tmp_path: Path) -> None:
    leave(tmp_path, ["touch", str(tmp_path / "undone")])
    process = start()
    assert said(process) == {"event": "held"}
    process.send_signal(signal.SIGUSR2)
    assert process.wait(5) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["scratch"]
    assert said(start()) == {"event": "held"}


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_one_that_nobody_released_brings_the_host_back(start: Start, tmp_path: Path, how: str) -> None:
    """The last command first, each with its input; one that fails is told and does not keep the others from running."""
    note = ["sh", "-c", f'read -r word; echo "$0 $word" >>{tmp_path}/order']
    leave(tmp_path, [*note, "second"], ["false"], [*note, "first"])
    process = start(ttl=0.5 if how == "silent" else 30)
    assert said(process) == {"event": "held"}
    for _ in range(2 if how == "silent" else 0):  # signs of life
        process.send_signal(signal.SIGUSR1)
    if how == "killed":
        process.kill()
    wait_until(lambda: not (tmp_path / "lock").exists(), timeout=8, what="the end of the lease")
    assert (tmp_path / "order").read_text().splitlines() == ["first said", "second said"]
    assert not (tmp_path / "scratch").exists()
    told = (tmp_path / "lock.log").read_text()
    assert {"killed": "its connection has ended", "silent": "no sign of life for 0.5 s"}[how] in told
    assert "false: " in told


def test_a_sign_of_life_gives_more_time() -> None:
    read, write = os.pipe()
    os.write(write, guardian.ALIVE)
    os.write(write, guardian.RELEASED)
    assert guardian.watch(read, 0.0) == "no sign of life for 0 s"
    assert guardian.watch(read, 5.0) == "released"
    os.close(write)
    assert guardian.watch(read, 5.0) == "its connection has ended"
    os.close(read)


def test_half_a_line_is_no_command(tmp_path: Path) -> None:
    """What is being written when the connection ends."""
    file = tmp_path / "undo"
    file.write_text(json.dumps({"argv": ["touch", str(tmp_path / "whole")], "stdin": ""}) + '\n{"argv": ["touch", "x')
    assert guardian.restore(str(file)) == []
    assert (tmp_path / "whole").exists()
    assert guardian.restore(str(tmp_path / "none")) == []
