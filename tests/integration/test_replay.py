"""A session that ran here is judged again by the same tests without privilege, without tools and without a lab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hopscope.run import tape

pytestmark = [pytest.mark.integration, pytest.mark.zero_rtt]

TESTS = """
import pytest
from hopscope.checks.budget import Budget

pytestmark = [pytest.mark.integration, pytest.mark.lab_topology("chain-lan.yaml")]

@pytest.mark.parametrize("sut", ["stamp"])
def test_ordering(chain, traffic, trace, sut):
    assert chain.rtt_ns < 1_000_000
    assert traffic.connections(count=5, rate=20).completed == 5
    trace().expect(placement=sut)

def test_compare(compare):
    pairs = compare(baseline="kernel", sut="hold", count=250, rate=500)
    pairs.expect(Budget("ttfb", saves="1 rtt", tolerance=1000.0))
    pairs.part("kernel").expect(placement="plain")
    pairs.part("hold").judge(placement="hold")

@pytest.mark.parametrize("sut", ["kernel"])
def test_windows(capture, traffic, trace, sut):
    for window, sut in enumerate(("plain", "hold"), 1):
        if window == 2:
            capture.open(sut)
        assert traffic.connections(window, 20).completed == window
        judged = trace()
        assert len(judged.trace) == window
        judged.expect(placement=sut)

def test_counts(traffic):
    assert traffic.connections(count=5, rate=50, check_rate=False).completed == 5

def test_commands(client):
    assert client.run(["ip", "route"]).text
"""

TUN = Path("/dev/net/tun").exists()
TUNNEL_TEST = """
@pytest.mark.lab_topology("tunnel.yaml")
@pytest.mark.parametrize("tunnel", ["socat"], indirect=True)
def test_tunnel(tunnel):
    assert [each.received for each in tunnel.ping(sizes=("small",), count=3)] == [3, 3]
    assert tunnel.counters(count=3)["left"]["tx"] == 6
"""

#: As in a container without privilege: user 0 that may do nothing, also in no namespace of its own.
BARE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def pytest_run(home: Path, *argv: str, bare: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(home), "-rs", *argv]
    if bare and os.getuid() == 0:
        command = [str(shutil.which(BARE[0])), *BARE[1:], *command]
    environment = {**os.environ, **({"PATH": "/nonexistent"} if bare else {})}
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def reached(run: Path) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Outcome of each test, and of each of its checks in their order."""
    lines = map(json.loads, (run / "outcomes.jsonl").read_text().splitlines())
    return {
        each["test"]: (each["outcome"], [(one["check"], one["outcome"]) for one in each["verdicts"]]) for each in lines
    }


def flip(capture: Path) -> None:
    """Change a bit of the last request."""
    content = bytearray(capture.read_bytes())
    content[content.rindex(b"HOPS") + 20] ^= 1  # behind the generator's header
    capture.write_bytes(content)


def seal(capture: Path) -> None:
    """Make the record say that this is what was captured."""
    test, run = capture.parents[1], capture.parents[3]
    calls = test / tape.CALLS
    key = f'"{capture.name}": '
    calls.write_text(re.sub(re.escape(key) + r"\{[^}]*\}", key + json.dumps(tape.seal(capture)), calls.read_text()))
    manifest = json.loads((run / "manifest.json").read_text())
    entry = next(each for each in manifest["tests"] if each["directory"] == str(test.relative_to(run)))
    entry["calls"] = tape.seal(calls)
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_a_session_is_judged_again_elsewhere(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "test_mine.py").write_text(TESTS + TUNNEL_TEST * TUN)
    (here / "pytest.ini").touch()
    live = pytest_run(here)
    assert f"{5 + TUN} passed" in live.stdout, live.stdout
    run = (here / ".hopscope" / "runs" / "latest").resolve()
    stored = reached(run)
    there.mkdir()
    for name in ("test_mine.py", "pytest.ini"):
        shutil.copy(here / name, there)
    shutil.move(run, there / "copied")

    replay = pytest_run(there, "--lab-replay", "copied", bare=True)
    assert replay.returncode == 0, replay.stdout + replay.stderr
    assert f"{4 + TUN} passed, 1 skipped" in replay.stdout, replay.stdout
    assert "needs a live lab: client.run(['ip', 'route'])" in replay.stdout
    assert f"{4 + TUN} tests judged again, 1 left out (the skips say why); every verdict as it was" in replay.stdout
    (own,) = (there / ".hopscope" / "runs").iterdir()
    again = reached(own)
    del stored["test_mine.py::test_commands"], again["test_mine.py::test_commands"]
    assert again == stored
    assert [len(checks) for _, checks in stored.values()].count(0) == 1, "the others were judged"

    changed, sealed = (
        there / "copied" / "tests" / f"test_mine.{test}" / "capture-1" / "server-eth0.pcap"
        for test in ("test_counts", "test_ordering-stamp")
    )
    flip(changed)
    flip(sealed)
    seal(sealed)
    worse = pytest_run(there, "--lab-replay", "copied", "-k", "ordering or windows or counts", bare=True)
    assert "1 failed, 2 passed, 1 skipped" in worse.stdout, worse.stdout
    assert f"{changed} has been changed since it was recorded" in worse.stdout
    assert "    checksums: was PASS, is FAIL with today's checks" in worse.stdout
    assert "3 tests judged again, 0 left out (the skips say why); 2 with another verdict:" in worse.stdout
