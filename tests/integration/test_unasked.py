"""What passes for nothing: a system that does nothing, with a test that only counts its connections."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hopscope import data

pytestmark = pytest.mark.integration

TESTS = """
import pytest
from hopscope.checks.checksums import checksums
from hopscope.checks.delivery import delivery
from hopscope.checks.ordering import ordering
from hopscope.checks.translation import translation

@pytest.mark.integration
def test_counts(traffic):
    assert traffic.connections(count=20, rate=50).completed == 20

@pytest.mark.integration
def test_asks(traffic, trace):
    traffic.connections(count=20, rate=50)
    trace().expect(ordering(), checksums(), translation(), delivery())
"""

SUTS = """
suts:
  idler:
    placement: stamp
    boxes:
      clientnic:
        argv: ["{python}", -c, "print('ready', flush=True); import time; time.sleep(100)"]
        ready: {line: ready}
  quitter:
    placement: stamp
    boxes:
      clientnic:
        argv: ["{python}", -c, "print('ready', flush=True); import time; time.sleep(0.5)"]
        ready: {line: ready}
"""


@pytest.mark.parametrize(
    ("sut", "words"),
    [("idler", "carried by the kernel"), ("quitter", "a box ended by itself: clientnic (quitter) with 0")],
)
def test_traffic_that_succeeds_is_no_pass(tmp_path: Path, sut: str, words: str) -> None:
    chain = data.path("topologies/chain-lan.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(chain + SUTS)
    (tmp_path / "test_mine.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, "--lab-topology", "mine.yaml", "--lab-sut", sut, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert words in done.stdout
    summary = done.stdout.splitlines()[-1]
    assert "1 failed" in summary, done.stdout
    assert "1 error" in summary, done.stdout
