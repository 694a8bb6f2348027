"""The adapter with a real tshark, on one stored capture; and without any."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from hopscope.errors import EnvironmentFault, ToolMissing
from hopscope.report import dissect as adapter
from hopscope.report.dissect import BAD, GOOD, dissect
from hopscope.report.second_opinion import BELOW

CAPTURE = Path(__file__).parents[3] / "fixtures" / "captures" / "stamp" / "client-eth0.pcap"

there = pytest.mark.skipif(
    shutil.which("tshark") is None or importlib.util.find_spec("pyshark") is None, reason="tshark or pyshark is missing"
)


@there
def test_streams_checksums_and_analysis_of_the_frames_that_a_filter_selects() -> None:
    segments = dissect({CAPTURE: "tcp.port==40001"})[CAPTURE]
    assert {one.stream for one in segments} == {1}
    assert {(one.ip_checksum, one.tcp_checksum) for one in segments} == {(GOOD, GOOD)}
    assert [one.frame for one in segments] == sorted(one.frame for one in segments)
    assert sum(bool(one.analysis & BELOW) for one in segments) == 1


@there
def test_a_bad_checksum_is_seen_because_tshark_is_told_to_look(tmp_path: Path) -> None:
    data = bytearray(CAPTURE.read_bytes())
    data[-1] ^= 1  # the last frame is an ACK with time stamps
    (tmp_path / "bad.pcap").write_bytes(data)
    assert dissect({tmp_path / "bad.pcap": "tcp"})[tmp_path / "bad.pcap"][-1].tcp_checksum == BAD


@there
def test_tshark_is_started_once_for_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting it takes longer than a capture: pyshark would start another, to ask for its version."""
    counted = tmp_path / "tshark"
    counted.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/starts\nexec {shutil.which("tshark")} "$@"\n')
    counted.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert dissect({CAPTURE: "tcp.port==40001"})[CAPTURE]
    assert len((tmp_path / "starts").read_text().splitlines()) == 1


@there
def test_a_capture_cut_short_fails_in_tsharks_own_words(tmp_path: Path) -> None:
    (tmp_path / "cut.pcap").write_bytes(CAPTURE.read_bytes()[:-7])
    with pytest.raises(EnvironmentFault, match=r"could not read cut\.pcap") as caught:
        dissect({tmp_path / "cut.pcap": "tcp"})
    assert "cut short in the middle of a packet" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name", "missing", "remedy"),
    [
        ("shutil", "which", lambda name: None, "tshark is not installed: apt-get install tshark"),
        ("util", "find_spec", lambda name: None, "pyshark is not installed: pip install"),
    ],
)
def test_a_missing_tool_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, missing: object, remedy: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/tshark")
    owner = shutil if module == "shutil" else importlib.util
    monkeypatch.setattr(owner, name, missing)
    with pytest.raises(ToolMissing, match=remedy):
        adapter.require_tools()
