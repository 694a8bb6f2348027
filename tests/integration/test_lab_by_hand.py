"""A lab that stays, as a person uses it: commands in processes of their own, and what is left of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopscope.lab import attached, state
from hopscope.lab.state import LabState
from hopscope.lab.wait import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Path]:
    """A directory of labs of the test's own; whatever is up in it at the end is ended."""
    root = tmp_path / "labs"
    yield root
    for _, known in state.labs(root):
        if known is not None and known.keeper.alive:
            os.kill(known.owner.pid if known.owner.alive else known.keeper.pid, signal.SIGTERM)
            wait_until(lambda gone=known: not gone.keeper.alive, timeout=20, what="the lab to go")


def hopscope(labs: Path, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hopscope", "lab", command, "--labs", str(labs), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def known(labs: Path, name: str) -> LabState:
    found = state.read(labs / name)
    assert found is not None
    return found


def test_a_lab_is_built_walked_into_watched_and_ended(labs: Path) -> None:
    said = hopscope(labs, "up", "chain", "--name", "mine", "--rtt", "10", "--sut", "stamp", "--ttl", "5m").stdout
    assert "lab mine is up until" in said
    assert "SUT stamp is on the path" in said
    assert f"hopscope lab shell --labs {labs} mine client" in said
    held = known(labs, "mine")
    assert held.owner.alive
    assert held.owner.pid not in (os.getpid(), held.keeper.pid)

    (fact,) = json.loads(hopscope(labs, "list", "--json").stdout)
    assert (fact["state"], fact["sut"], fact["topology"]) == ("up", "stamp", "chain")

    assert "10.1.2.10/24" in hopscope(labs, "exec", "mine", "server", "--", "ip", "-br", "address").stdout
    assert hopscope(labs, "exec", "mine", "client", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    absent = hopscope(labs, "exec", "mine", "client", "--", "no-such-program", check=False)
    assert (absent.returncode, "no program `no-such-program`" in absent.stderr) == (2, True)

    command = [sys.executable, "-m", "hopscope", "lab", "watch", "--labs", str(labs), "mine", "servernic:eth0"]
    watch = subprocess.Popen(
        [*command, "--count", "2", "--filter", "icmp"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    assert "watching servernic:eth0" in watch.stdout.readline()
    ping = hopscope(labs, "exec", "mine", "client", "--", "ping", "-n", "-c", "1", "10.1.2.10").stdout
    assert 10 <= float(ping.partition("time=")[2].split()[0]) < 20, "less than the topology's own"
    out, _ = watch.communicate(timeout=20)
    request, answer = out.splitlines()
    assert "10.1.0.10 > 10.1.2.10  ICMP len" in request
    assert "10.1.2.10 > 10.1.0.10  ICMP len" in answer
    assert watch.returncode == 0

    assert hopscope(labs, "up", "chain", "--name", "mine", check=False).returncode == 2
    assert hopscope(labs, "down", "mine").stdout == "lab mine has gone\n"
    assert not held.owner.alive
    assert not held.keeper.alive
    assert list(labs.iterdir()) == []


def test_a_lab_ends_with_its_holder_and_with_its_time(labs: Path) -> None:
    hopscope(labs, "up", "chain-lan", "--name", "killed", "--ttl", "5m")
    killed = known(labs, "killed")
    os.kill(killed.owner.pid, signal.SIGKILL)
    wait_until(lambda: not killed.keeper.alive, timeout=2, what="the lab to go with its holder")
    assert "killed: the state of a lab that has gone" in hopscope(labs, "reap").stdout

    hopscope(labs, "up", "chain-lan", "--name", "short", "--ttl", "1s")
    wait_until(lambda: not (labs / "short").exists(), timeout=10, what="the lab to end at its time")
    assert hopscope(labs, "list").stdout == "no lab is up\n"


def test_an_impaired_link_of_an_attached_lab_can_be_changed(labs: Path) -> None:
    hopscope(labs, "up", "chain", "--name", "mine", "--ttl", "5m")
    lab = attached.attach(labs / "mine")
    (wan,) = [link.name for link in lab.topology.links if link.impairment.active]
    slower = lab.topology.with_rtt(30).links[1].impairment
    with lab:
        with lab.applied(lab.impairment(wan, slower)) as (record,):
            assert record.seen == record.wanted
        assert lab.settings[0].seen
        if lab.lines:
            assert lab.link_counters(wan)["a_to_b"]["missed"] == 0
    assert known(labs, "mine").keeper.alive, "leaving an attached lab ends nothing"
    hopscope(labs, "down", "mine")
