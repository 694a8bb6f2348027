"""What a host says of itself, as far as it can be asked without one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope.lab import survey

TRACKING = "A29FC87B,ntp,3,1795522363.3,{offset},0.000001,0.000002,1.5,0.001,0.02,{delay},{dispersion},64.2,{leap}\n"


@pytest.mark.parametrize(
    ("told", "error_ns"),
    [
        (TRACKING.format(offset=-0.000050, delay=0.002, dispersion=0.0003, leap="Normal"), 1_350_000),
        (TRACKING.format(offset=0.000050, delay=0, dispersion=0, leap="Insert second"), 50_000),
        (TRACKING.format(offset=0, delay=1, dispersion=1, leap="Not synchronised"), None),
        ("506 Cannot talk to daemon\n", None),
    ],
)
def test_a_clock_is_as_wrong_as_chrony_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, error_ns: int | None
) -> None:
    program = tmp_path / "chronyc"
    program.write_text(f"#!/bin/sh\n[ \"$*\" = '-c tracking' ] && printf %s '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert survey.clock_error_ns() == error_ns


def test_where_there_is_no_chrony_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert survey.clock_error_ns() is None


def test_a_listener_and_a_box_that_was_left_are_told_with_their_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        box = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        env = {**os.environ, "HOPSCOPE_BOX": "1-clientnic"}
        with subprocess.Popen(box, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as left:
            assert left.stdout is not None
            left.stdout.readline()
            argv = [sys.executable, "-I", "-S", survey.__file__, str(tmp_path), "sh", "no-such-tool"]
            seen = json.loads(subprocess.run(argv, capture_output=True, timeout=20, check=True).stdout)
            assert left.stdin is not None
            left.stdin.close()
    assert f"process {os.getpid()} (" in seen["listeners"][str(port)]
    assert [each for each in seen["boxes"] if f"process {left.pid} (" in each]
    assert (seen["tools"]["no-such-tool"], seen["uid"]) == (None, os.getuid())
    assert seen["tools"]["sh"].endswith("/sh")
    assert seen["free_bytes"] > 0
    assert {"clock_error_ns", "interfaces", "sysctls", "boot_id"} <= set(seen)
