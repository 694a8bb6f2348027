"""A session of its own on instances, and what its run has to show."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST = "tests/integration/test_ordering.py::test_five_connections_are_all_rewritten[stamp]"


def run(tests: list[str], directory: Path, timeout: float, *options: str) -> str:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--lab-strict", "--timeout", str(timeout)]
    argv += ["--lab-provider", "aws", *options, "--lab-run-dir", str(directory), *tests]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def proven(directory: Path) -> None:
    """The run says where its hosts were, and has captures of both sides of every hop."""
    run = (directory / "latest").resolve()
    manifest = json.loads((run / "manifest.json").read_text())
    assert {lab["provider"] for lab in manifest["labs"]} == {"aws"}
    captures = [file for file in run.rglob("*.pcap*") if file.stat().st_size > 1000]
    assert {file.name.split(".")[0] for file in captures} >= {
        f"{host}-{port}"
        for host, port in [("client", "eth0"), ("clientnic", "eth0"), ("servernic", "eth1"), ("server", "eth0")]
    }
