"""``kill -9`` of pytest in the middle of a test: within two seconds nothing of the lab is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope.lab.wait import wait_until
from support import machine

pytestmark = pytest.mark.integration

STALLS = """
import pathlib, time
import pytest

@pytest.mark.integration
def test_stalls(traffic, clientnic, sut):
    assert clientnic.run(["pgrep", "-f", "hopscope_nic clientnic"]).text
    traffic.connections(count=5, rate=50)
    pathlib.Path("loaded").touch()
    time.sleep(60)
"""


@pytest.mark.parametrize("phase", ["building", "loaded"])
def test_nothing_is_left_after_kill_nine(tmp_path: Path, phase: str) -> None:
    (tmp_path / "test_stalls.py").write_text(STALLS)
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--lab-sut", "stamp", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def labs() -> set[str]:
        return machine.pid_namespaces(machine.descendants(child.pid))

    try:
        if phase == "loaded":
            wait_until((tmp_path / "loaded").exists, timeout=40, what="the test's load")
        made = wait_until(labs, timeout=40, interval=0.002, what="a keeper")
        below = machine.descendants(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: not machine.inside(made), timeout=2, what="processes of the lab to go")
        wait_until(lambda: not machine.alive(below), timeout=2, what="every child of the session to go")
    finally:
        child.kill()
        child.wait(timeout=10)
    if phase == "loaded":
        captures = list(tmp_path.rglob("*.pcap"))
        assert len([file for file in captures if file.parent.name == "capture-1"]) == 6, "captures of a failed run stay"
