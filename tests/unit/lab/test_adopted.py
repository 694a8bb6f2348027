from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope.errors import CommandTimeout
from hopscope.lab import state
from hopscope.lab.adopted import UNKNOWN_CODE, AdoptedProcess


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"]) as started:
        yield started
        started.kill()


def adopt(child: subprocess.Popen[bytes], tmp_path: Path) -> AdoptedProcess:
    (tmp_path / "out").write_text("one\ntwo\n")
    return AdoptedProcess("line", state.identify(child.pid), tmp_path / "out", tmp_path / "err")


def test_it_is_watched_but_its_code_is_its_parents(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    adopted = adopt(child, tmp_path)
    assert (adopted.pid, adopted.poll(), adopted.lines()) == (child.pid, None, ["one", "two"])
    with pytest.raises(CommandTimeout, match="line to end"):
        adopted.wait(0.05)
    adopted.signal(signal.SIGKILL)
    assert adopted.wait(5) == adopted.returncode == UNKNOWN_CODE
    adopted.signal(signal.SIGTERM)  # nobody is there, and nobody else is hit


def test_one_that_does_not_go_is_killed(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    threading.Thread(target=child.wait, daemon=True).start()
    with adopt(child, tmp_path) as adopted:
        assert adopted.stop(timeout=0.2) == UNKNOWN_CODE
    assert not adopted.process.alive
