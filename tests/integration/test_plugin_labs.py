"""Labs of sessions, as a user runs pytest: one for each worker, kept when a test failed, used again, paused on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope.lab import state
from hopscope.lab.wait import wait_until

pytestmark = pytest.mark.integration

TESTS = """
import pytest
from hopscope.checks.latency import budget
from hopscope.errors import ProductFault
pytestmark = pytest.mark.integration

def test_first(traffic, trace):
    assert traffic.connections(count=20, rate=50).completed == 20
    trace().expect(placement="plain")

@pytest.mark.budget
def test_second(traffic, trace):
    assert traffic.connections(count=20, rate=50).completed == 20
    trace().expect(placement="plain")

@pytest.mark.lab_impair(rtt_ms=40, loss=0.0)
def test_impaired(chain, capture, traffic):
    assert 39e6 < capture.chain.rtt_ns < 45e6
    assert traffic.connections(count=5, rate=50).ttfb_ns(0.5) > 75e6
    assert chain.rtt_ns < 25e6

def test_limit(traffic, trace):
    traffic.connections(count=30, rate=60)
    with pytest.raises(ProductFault, match="ini ttfb_budget_ms"):
        trace().expect(budget("ttfb"))

@pytest.mark.broken
def test_broken(traffic):
    assert traffic.connections(count=5, rate=50).completed == 6
"""
HOOKS = """
from hopscope.checks.verdict import inconclusive, passed
from hopscope.model.sut import Sut

class Mine:
    def __init__(self, say):
        self.name, self.say = "mine", say
    def __call__(self, trace):
        return self.say("mine", f"{len(trace)} flows")

def pytest_hopscope_sut(name, topology):
    return Sut(name=name) if name == "nothing" else None

def pytest_hopscope_check(config, topology):
    if config.getoption("markexpr") == "not broken":
        return Mine(lambda name, text: passed(name, text, judged=1))
    return [Mine(inconclusive)]

def pytest_hopscope_finding(item, verdict):
    with open(item.config.rootpath / "findings", "a") as file:
        print(item.name, verdict.check, verdict.outcome, verdict.summary, file=file)
"""
PLAIN = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:sugar"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A user's directory with tests; a lab that is up in it at the end is ended."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nttfb_budget_ms = 30\nmarkers = broken: fails\n")
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(HOOKS)
    yield tmp_path
    for _, known in state.labs(tmp_path / ".hopscope" / "labs"):
        if known is not None and known.keeper.alive:
            os.kill(known.owner.pid if known.owner.alive else known.keeper.pid, signal.SIGTERM)
            wait_until(lambda gone=known: not gone.keeper.alive, timeout=20, what="the lab to go")


def run(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *argv]
    return subprocess.run(
        command, cwd=home, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )


def test_two_workers_have_a_lab_each_and_tell_while_they_build(home: Path) -> None:
    done = run(home, "pytest", *PLAIN, "-n", "2", "-m", "not broken", "-k", "not limit", "--lab-sut", "nothing")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    for worker in ("gw0", "gw1"):
        assert f"hopscope: [{worker}] building chain" in done.stdout
    ups = re.findall(r"hopscope: \[gw\d\] (\S+) is up: idle RTT", done.stdout)
    assert len(set(ups)) == 2
    assert re.search(r"^capture_health +2$", done.stdout, re.MULTILINE), "verdicts of both workers"
    assert re.search(r"^mine +2$", done.stdout, re.MULTILINE), "a check of an outsider, judged with the standard ones"
    assert not (home / "findings").exists()
    assert len(re.findall(r"^run: \.hopscope/runs/\S+-gw[01] ", done.stdout, re.MULTILINE)) == 2
    assert list((home / ".hopscope" / "labs").iterdir()) == []


def test_a_failed_tests_lab_is_kept_used_again_and_ended(home: Path) -> None:
    done = run(home, "pytest", *PLAIN, "--lab-keep", "failed", "-m", "broken")
    assert done.returncode == 1, done.stdout + done.stderr
    (walk,) = set(re.findall(r"walk in: hopscope lab shell (\S+) client; end it: hopscope lab down", done.stdout))
    entered = run(home, "hopscope", "lab", "exec", walk, "servernic", "--", "ip", "-br", "address")
    assert "10.1.1.2/24" in entered.stdout

    again = run(home, "pytest", *PLAIN, "--lab-use", walk, "-k", "first or impaired or limit")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"hopscope: using {walk}" in again.stdout
    assert "INCONCLUSIVE" in again.stdout
    found = (home / "findings").read_text().splitlines()
    assert "test_first mine INCONCLUSIVE 20 flows" in found
    assert [line.split()[:3] for line in found if line.startswith("test_limit")] == [["test_limit", "budget", "ttfb"]]
    (fact,) = json.loads(run(home, "hopscope", "lab", "list", "--json").stdout)
    assert (fact["name"], fact["state"]) == (walk, "up"), "a session never ends a lab that it was given"

    assert run(home, "hopscope", "lab", "down", walk).returncode == 0
    assert list((home / ".hopscope" / "labs").iterdir()) == []


def test_a_session_stands_still_where_a_test_failed(home: Path) -> None:
    pid, terminal = os.forkpty()
    if pid == 0:
        os.chdir(home)
        argv = [sys.executable, "-m", "pytest", *PLAIN, "--lab-pause-on-fail", "-m", "broken", "--color=no"]
        os.execv(sys.executable, argv)
    shown = b""

    def read_until(words: bytes) -> None:
        nonlocal shown
        while words not in shown:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the other end has gone
                pytest.fail(shown.decode(errors="replace"))

    try:
        read_until(b"Enter goes on.")
        found = re.search(rb"walk in: hopscope lab shell (\S+) client", shown)
        assert found is not None
        assert b"its captures and its SUT run" in shown
        name = found[1].decode()
        assert run(home, "hopscope", "lab", "exec", name, "client", "--", "ping", "-c1", "10.1.2.10").returncode == 0
        os.write(terminal, b"\n")
        read_until(b"1 failed")
    finally:
        os.kill(pid, signal.SIGINT)
        os.waitpid(pid, 0)
        os.close(terminal)
    assert b"FAILED test_mine.py::test_broken" in shown
