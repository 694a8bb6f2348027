"""``kill -9`` of whoever holds a lab: within two seconds nothing of it is left, whatever else it had started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hopscope import data
from hopscope.lab import state
from hopscope.lab.wait import wait_until
from hopscope.providers.netns import NetnsProvider
from support import machine
from support.kept import belongings, users

pytestmark = pytest.mark.integration

HOLDER = """
import json, multiprocessing, os, subprocess, sys, time
from pathlib import Path
from hopscope import data
from hopscope.hosts.ready import LogLine
from hopscope.providers.netns import NetnsProvider

def linger():
    time.sleep(30)

lab = NetnsProvider().acquire(data.topology("chain"), directory=Path(sys.argv[1]), name="doomed")
hosts = lab.hosts
hosts["client"].spawn(["ping", "-n", "10.1.2.10"], name="ping", ready=LogLine("ttl=62", "stdout"))
hosts["server"].spawn(["sh", "-c", "trap '' TERM HUP; (sleep 600 &) ; sleep 600"], name="stubborn")
hosts["clientnic"].run(["nft", "add", "table", "inet", "doomed"])
forked = multiprocessing.get_context("fork").Process(target=linger)
forked.start()
started = subprocess.Popen(["sleep", "30"], start_new_session=True)
print(json.dumps({"keeper": hosts["client"].keeper, "others": [forked.pid, started.pid]}), flush=True)
if sys.argv[2] == "busy":
    hosts["client"].run(["sleep", "600"], timeout=900)
time.sleep(600)
"""


@contextmanager
def holder(directory: Path, how: str = "idle") -> Iterator[tuple[subprocess.Popen[bytes], dict[str, object]]]:
    """A process with a lab, and with children of its own that outlive it: none of them may hold the life-line."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), how], stdout=subprocess.PIPE, start_new_session=True
    )
    said: dict[str, object] = {"others": []}
    try:
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        yield child, said
    finally:
        child.kill()
        child.wait(timeout=10)
        assert child.stdout is not None
        child.stdout.close()
        for pid in said["others"]:  # type: ignore[attr-defined]
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.mark.parametrize("how", ["idle", "busy"])
def test_nothing_is_left_after_kill_nine(tmp_path: Path, how: str) -> None:
    before = machine.links(), machine.named_namespaces()
    with holder(tmp_path, how) as (child, said):
        made = belongings(int(str(said["keeper"])))
        assert len(made) == 7, "a PID namespace, four hosts, the middle of the WAN, and the keeper's own"
        assert len(users(made)) >= 4
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=10)
        wait_until(lambda: not users(made), timeout=2, what="processes and namespaces to go")
        assert (machine.links(), machine.named_namespaces()) == before


def test_the_state_of_a_killed_lab_is_swept(tmp_path: Path) -> None:
    with holder(tmp_path) as (child, _):
        provider = NetnsProvider(roots=(tmp_path,))
        assert provider.leaks() == [], "its owner lives"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=10)
        found = state.read(tmp_path / "doomed")
        assert found is not None
        wait_until(lambda: not found.keeper.alive, timeout=2, what="the keeper to go")
        assert provider.leaks() == []
        assert list(tmp_path.iterdir()) == []


def test_a_keeper_that_outlives_its_owner_is_a_leak(tmp_path: Path) -> None:
    """Someone else holds the write end: the one way in which a lab can stay, and it must be told."""
    with holder(tmp_path) as (child, said):
        lifeline = next(
            entry
            for entry in Path(f"/proc/{child.pid}/fd").iterdir()
            if os.readlink(entry) == os.readlink(f"/proc/{said['keeper']}/fd/0") and entry.name != "0"
        )
        held = os.open(lifeline, os.O_WRONLY)
        try:
            os.kill(child.pid, signal.SIGKILL)
            child.wait(timeout=10)
            assert "its owner" in NetnsProvider(roots=(tmp_path,)).leaks()[0]
        finally:
            os.close(held)
        found = state.read(tmp_path / "doomed")
        assert found is not None
        wait_until(lambda: not found.keeper.alive, timeout=2, what="the keeper to go")


def test_a_keeper_that_dies_takes_the_lab_with_it(tmp_path: Path) -> None:
    lab = NetnsProvider().acquire(data.topology("chain"), directory=tmp_path)
    sleeper = lab.hosts["client"].spawn(["sleep", "600"], name="sleeper")
    found = state.read(lab.directory)
    assert found is not None
    os.kill(found.keeper.pid, signal.SIGKILL)
    assert sleeper.wait(2) == -signal.SIGKILL
    lab.close()
    assert list(tmp_path.iterdir()) == []
