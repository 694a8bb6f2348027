"""Judging without a lab: the same verdicts from the run directory and from bare files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]


def judge(path: Path, *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hopscope", "judge", str(path), "--json", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def outcomes(verdicts: list[dict[str, Any]]) -> dict[str, str]:
    return {verdict["check"]: verdict["outcome"] for verdict in verdicts}


@pytest.mark.parametrize("sut", ["stamp", "hold", "kernel"])
def test_a_window_and_its_bare_files_are_judged_alike(traffic, trace, sut, tmp_path):
    assert traffic.connections(count=50, rate=100).completed == 50
    claim = "plain" if sut == "kernel" else sut
    judged = trace()
    live = outcomes([verdict.to_json() for verdict in judged.expect(placement=claim)])

    code, stored = judge(judged.directory, "--expect", claim)
    assert code == 0
    assert outcomes(stored["verdicts"]).items() >= live.items()

    for file in judged.directory.glob("*.pcap"):
        host, _, _ = file.name.partition("-")
        shutil.copy(file, tmp_path / f"{host}-{'a' if 'eth0' in file.name else 'b'}.pcap")
    code, bare = judge(tmp_path)
    assert code == 0
    assert bare["placements"] == {claim: 50}


def test_a_claim_that_does_not_hold_is_a_product_failure(traffic, trace):
    assert traffic.connections(count=10, rate=50).completed == 10
    code, result = judge(trace().directory, "--expect", "hold")
    assert code == 1
    assert outcomes(result["verdicts"])["placement"] == "FAIL"
