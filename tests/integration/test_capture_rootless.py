"""A lab without privilege is captured too: our recorder needs no setgroups and no chown, which tcpdump does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.getuid() != 0, reason="as a plain user test_capture is this test"),
]

#: As in a container: user 0 that may do nothing here, but everything in a user namespace of its own.
BARE = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", sys.executable]

PROGRAM = """
import json, sys
from pathlib import Path
from hopscope import data
from hopscope.capture.probe import verify_taps
from hopscope.capture.session import CaptureSession
from hopscope.providers.netns import NetnsProvider
from hopscope.traffic.traffic import Traffic

folder = Path(sys.argv[1])
with NetnsProvider(roots=()).acquire(data.topology("chain"), directory=folder / "labs") as lab:
    verify_taps(lab, folder / "probe")
    with Traffic(lab, folder) as traffic, CaptureSession(lab, folder / "capture") as session:
        report = traffic.connections(50, 100)
print(json.dumps({"completed": report.completed, "healthy": [tap.healthy for tap in session.reports]}))
"""


def test_a_chain_without_privilege_is_captured_whole(tmp_path: Path) -> None:
    result = subprocess.run(
        [*BARE, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=90, check=False, cwd="/"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"completed": 50, "healthy": [True] * 6}
