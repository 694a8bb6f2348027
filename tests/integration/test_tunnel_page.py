"""The YAML and the test of docs/tunnels.md, run as a user would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.tunnel, pytest.mark.lab_requires("tun", "socat")]

PAGE = Path(__file__).parents[2] / "docs" / "tunnels.md"
BLOCK = re.compile(r"^```(?:yaml|python)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_what_the_page_shows_works(tmp_path):
    blocks = dict(BLOCK.findall(PAGE.read_text()))
    assert set(blocks) == {"mine.yaml", "test_mine.py"}
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--lab-sut", "mine", "--lab-strict"]
    ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
    (taps,) = (tmp_path / ".hopscope" / "runs" / "latest" / "tests").glob("*/capture-1")
    assert {each.name for each in taps.glob("*.pcap")} == {
        "left-eth0.pcap", "left-tun0.pcap", "right-eth0.pcap", "right-tun0.pcap",
    }  # fmt: skip
