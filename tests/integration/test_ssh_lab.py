"""`hopscope lab up --ssh`, and the suite's own tests on it: what they say does not depend on where their hosts are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an SSH server needs a lab built by root")

ROOT = Path(__file__).parents[2]
#: One on a link without a delay, which the box in the middle bridges; one on a link that it delays.
UNCHANGED = ("test_ordering.py::test_five_connections_are_all_rewritten[stamp]", "test_refused.py")


def call(*argv: str, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, check=False)


def test_the_same_tests_are_green_over_ssh(tmp_path: Path) -> None:
    labs, hosts = str(tmp_path / "labs"), str(tmp_path / "hosts.yaml")
    up = call(
        "hopscope", "lab", "up", "chain", "--name", "doors", "--labs", labs, "--ssh", hosts, "--ttl", "5m", timeout=60
    )
    assert up.returncode == 0, up.stderr
    try:
        argv = ["-p", "no:cacheprovider", "-q", "--lab-strict", "--lab-run-dir", str(tmp_path / "runs")]
        argv += ["--lab-provider", "inventory", "--lab-inventory", hosts]
        done = call("pytest", *argv, *(f"tests/integration/{each}" for each in UNCHANGED), timeout=120)
        assert "3 passed" in done.stdout, done.stdout + done.stderr
    finally:
        down = call("hopscope", "lab", "down", "doors", "--labs", labs, timeout=60)
    assert down.returncode == 0, down.stderr
    captures = list((tmp_path / "runs").glob("*/tests/*/capture-1/*.pcap")) or list(
        (tmp_path / "runs").rglob("client-eth0.pcap")
    )
    assert captures
    assert all(each.stat().st_size > 24 for each in captures)
