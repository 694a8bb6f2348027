"""Results of a real session: what is attached is what was captured, and people's tools can open it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope.wire import pcap
from hopscope.wire.trace import Trace

pytestmark = pytest.mark.integration

TAPS = {"client-eth0", "clientnic-eth0", "clientnic-eth1", "servernic-eth0", "servernic-eth1", "server-eth0"}
TESTS = """
import pytest
pytestmark = [pytest.mark.integration, pytest.mark.lab_topology("chain-lan.yaml")]

@pytest.mark.parametrize("sut", ["stamp"])
def test_passes(sut, traffic, trace):
    assert traffic.connections(count=5, rate=50).completed == 5
    trace().expect(placement="stamp")

@pytest.mark.parametrize("sut", ["kernel"])
def test_fails(sut, traffic, trace):
    traffic.connections(count=5, rate=50)
    trace().expect(placement="stamp")
"""


def tshark(capture: Path, *args: str) -> list[str]:
    done = subprocess.run(
        ["tshark", "-n", "-r", capture, *args], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


class Results:
    """Of one session on two tests; attachments by the names that people see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "results"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
        self.done = subprocess.run(
            [*command, f"--alluredir={self.folder}", str(folder)],
            cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        found = [json.loads(file.read_text()) for file in self.folder.glob("*-result.json")]
        self.by_name = {re.sub(r"\[.*", "", result["name"]): result for result in found}
        (self.run,) = [path for path in (folder / ".hopscope/runs").iterdir() if not path.is_symlink()]

    def files(self, name: str) -> dict[str, Path]:
        return self._files(self.by_name[name])

    def _files(self, part: dict) -> dict[str, Path]:
        found = {one["name"]: self.folder / one["source"] for one in part.get("attachments", [])}
        for step in part.get("steps", []):
            found |= self._files(step)
        return found

    def window(self, test: str) -> Path:
        (window,) = self.run.glob(f"tests/*{test}*/capture-1")
        return window


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("report")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_mine.py").write_text(TESTS)
    return Results(folder)


def test_status_and_story_are_those_of_the_session(results: Results) -> None:
    assert "1 failed, 1 passed" in results.done.stdout, results.done.stdout
    assert "hopscope: the flow, its captures, what to do next" in results.done.stdout
    assert {name: result["status"] for name, result in results.by_name.items()} == {
        "test_passes": "passed", "test_fails": "failed",
    }  # fmt: skip
    parameters = {one["name"]: one["value"] for one in results.by_name["test_passes"]["parameters"]}
    assert (parameters["SUT"], parameters["placement"]) == ("stamp", "stamp")
    assert parameters["datapath"] in ("bpf", "afpacket"), "what this machine can"
    titles = [step["name"] for step in results.by_name["test_passes"]["steps"]]
    assert titles[1:4] == [
        "Captures live on 6 taps",
        "SUT stamp started on servernic, clientnic",
        "Traffic: 5 of 5 connections completed",
    ]
    assert all(step["start"] <= step["stop"] for result in results.by_name.values() for step in result["steps"])


def test_a_pass_leaves_little_and_it_can_be_opened(results: Results) -> None:
    files = results.files("test_passes")
    assert set(files) == {"Verdicts", "Ladder of one flow", "one-flow.pcapng"}
    assert sum(file.stat().st_size for file in files.values()) <= 100_000
    assert set(tshark(files["one-flow.pcapng"], "-T", "fields", "-e", "frame.interface_name")) == TAPS


def test_attached_captures_are_those_of_the_run_directory(results: Results) -> None:
    files, window = results.files("test_fails"), results.window("test_fails")
    for name in TAPS:
        assert files[f"{name}.pcap"].read_bytes() == (window / f"{name}.pcap").read_bytes()


def test_the_merged_capture_has_every_tap_by_name_in_order_of_time(results: Results) -> None:
    files, window = results.files("test_fails"), results.window("test_fails")
    lines = tshark(files["all-taps.pcapng"], "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch")
    seen = [line.split("\t") for line in lines]
    assert {interface for interface, _ in seen} == TAPS
    assert len(seen) == sum(len(pcap.read(window / f"{name}.pcap")) for name in TAPS)
    times = [time for _, time in seen]
    assert times == sorted(times)
    assert all(len(time.partition(".")[2]) == 9 for time in times), "nanoseconds"


def test_the_filter_shows_the_flow_and_nothing_else(results: Results) -> None:
    files = results.files("test_fails")
    start = files["Start here"].read_text()
    label = re.search(r"Flow shown here: `(.+)`", start)
    shown = re.search(r"Wireshark filter, for all-taps.pcapng: `(.+)`", start)
    assert label is not None
    assert shown is not None
    trace = Trace.load(results.window("test_fails"))
    flow = next(flow for flow in trace.flows if flow.label == label[1])
    wanted = sorted(int(trace.taps[tap].packets.time[row]) for tap in trace.taps for row in flow.rows(tap))
    found = tshark(files["all-taps.pcapng"], "-Y", shown[1], "-T", "fields", "-e", "frame.time_epoch")
    assert sorted(int(time.replace(".", "")) for time in found) == wanted
    decoded = files["Frames decoded by tshark"].read_text()
    assert decoded.count("[SYN]") == 6, "the client's SYN, at every tap"
    assert "Transmission Control Protocol" in decoded
